use rule measure_pretrain as measure_profile with:
    wildcard_constraints:
        cell="profile/.+",
