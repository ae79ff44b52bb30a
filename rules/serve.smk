use rule measure_pretrain as measure_serve with:
    wildcard_constraints:
        cell="serve/.+",
