use rule measure_pretrain as measure_operators with:
    wildcard_constraints:
        cell="operators/.+",
