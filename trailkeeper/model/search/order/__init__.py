"""A full answer whose rows were taken in time order covers time; an overlap bears it out."""
