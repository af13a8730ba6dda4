"""What a reviewer signs off each month: controls, the rules that decide them, what was found."""
