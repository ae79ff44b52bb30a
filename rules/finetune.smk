use rule measure_pretrain as measure_finetune with:
    wildcard_constraints:
        cell="finetune/.+",
