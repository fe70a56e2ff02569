"""What `benchmarks.gated_attention` is made of: costs, timing, the sides compared, the sweep, its figures, checks.

Needs torch and numpy alone (triton and a GPU where they are measured): no other package may be imported here at
the top of a file, so that the sweep runs on a GPU machine that has nothing else.
"""
