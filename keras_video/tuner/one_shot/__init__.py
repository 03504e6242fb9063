"""One-shot search: a super-network with shared weights and a policy that is trained beside it."""
