"""App-only sign-in: tokens, their cache, and what Microsoft Entra says when it refuses."""
