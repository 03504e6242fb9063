"""Tiny Video Networks (Piergiovanni et al. 2019): small clip networks found by evolution."""
