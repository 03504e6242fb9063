"""int8: after training, and networks that are trained for it."""
