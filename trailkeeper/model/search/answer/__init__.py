"""One answer: what it holds, what speaks against it, and what earlier answers say of it."""
