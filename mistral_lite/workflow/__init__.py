"""The decision core: what happens next, given what is there. No I/O, no clock, no configuration, no logging."""
