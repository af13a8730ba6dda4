"""A door: the clock. Beat sends ticks that say only "now"; it plans nothing."""
