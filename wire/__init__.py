"""What beat and the workers share: messages in Redis that carry a signature.

A queue is a list that whoever reaches Redis can push into. So every item there is sealed with a key
that only beat and the workers have, and whatever else a list holds is dropped before anybody
decodes it.
"""
