#!/bin/bash
# Everything from images to the tables of the card: `weights/dynet-laptop/make.sh SHARED WORK`, from the root of a clone.
# SHARED holds train/BSDS500, photos, benchmarks and fingerprints; WORK gets datasets, runs and results. It resumes; a day
# on two processor cores. The runs follow each other: start-13.yaml is the first, recipe.yaml the last; start-3.yaml begins
# with the mean of the weights of the three before it.
set -euo pipefail
shared=$1 work=$2 here=weights/dynet-laptop
leaks=()
for file in "$shared"/fingerprints/*.parquet; do
    leaks+=(--exclude-benchmark "$(basename "$file" .parquet)=$file")
done
million-ird build --recipe $here/data_bsds.yaml --out "$work/bsds" --sources "$shared/train/BSDS500/train" \
    --sources "$shared/train/BSDS500/test" "${leaks[@]}"
million-ird build --recipe $here/data_photos.yaml --out "$work/photos" --sources "$shared/photos" "${leaks[@]}"
init=()
for name in start-{13..1} recipe; do
    if [ $name = start-3 ]; then
        python benchmarks/studies/average_weights.py "$work"/start-{6,5,4} --out "$work/averaged.safetensors"
        init=(--init "$work/averaged.safetensors")
    fi
    if [ ! -f "$work/$name/weights.safetensors" ]; then
        resume=()
        [ -d "$work/$name/checkpoints" ] && resume=(--resume)
        dynet train --data "$work/bsds=2" --data "$work/photos=1" --stage finetune --recipe $here/$name.yaml \
            --out "$work/$name" "${init[@]}" "${resume[@]}"
    fi
    init=(--init "$work/$name/weights.safetensors")
done
for protocol in aio-paper harm; do
    dynet evaluate --weights "$work/recipe" --protocol $protocol --out "$work/$protocol" \
        --benchmark "CBSD68=$shared/benchmarks/CBSD68"
done
