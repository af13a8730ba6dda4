"""The pipeline, one verb a file: plan, pull, merge, cover, report, deliver, reap.

A step takes the ports it needs and the time; it knows neither the queue nor any outside library.
Every step can run twice, and be killed at any instruction.
"""
