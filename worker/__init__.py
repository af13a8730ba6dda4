"""A door: Celery tasks that call one step each. No decision is made here."""
