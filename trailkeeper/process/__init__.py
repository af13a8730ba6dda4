"""What a process of ours needs of the operating system: threads, children, memory, locks."""
