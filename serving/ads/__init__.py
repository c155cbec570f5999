"""The rows of all ads in shared memory: one process of a machine fills them, its servers read them."""
