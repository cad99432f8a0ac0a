#!/bin/bash
# Everything from images to the tables of the card: `weights/dynet-laptop/make.sh SHARED WORK`, from the root of a clone.
# SHARED holds train/BSDS500, photos, benchmarks and fingerprints; WORK gets datasets, runs and results. It resumes; a day
# and a half on two processor cores. The runs follow each other: start-17.yaml is the first, recipe.yaml the last.
# start-7.yaml begins with the mean of the weights of the three before it, start-1.yaml with that of start-2.yaml and of
# start-4.yaml; the weights are the mean of those of recipe.yaml and of what start-1.yaml began with.
set -euo pipefail
shared=$1 work=$2 here=weights/dynet-laptop
leaks=()
for file in "$shared"/fingerprints/*.parquet; do
    leaks+=(--exclude-benchmark "$(basename "$file" .parquet)=$file")
done
million-ird build --recipe $here/data_bsds.yaml --out "$work/bsds" --sources "$shared/train/BSDS500/train" \
    --sources "$shared/train/BSDS500/test" "${leaks[@]}"
million-ird build --recipe $here/data_photos.yaml --out "$work/photos" --sources "$shared/photos" "${leaks[@]}"
average() {
    python benchmarks/studies/average_weights.py "${@:2}" --out "$1"
}
init=()
for name in start-{17..1} recipe; do
    case $name in
    start-7)
        average "$work/averaged-7.safetensors" "$work"/start-{10,9,8}
        init=(--init "$work/averaged-7.safetensors")
        ;;
    start-1)
        average "$work/averaged-1.safetensors" "$work"/start-{4,2}
        init=(--init "$work/averaged-1.safetensors")
        ;;
    esac
    if [ ! -f "$work/$name/weights.safetensors" ]; then
        resume=()
        [ -d "$work/$name/checkpoints" ] && resume=(--resume)
        dynet train --data "$work/bsds=2" --data "$work/photos=1" --stage finetune --recipe $here/$name.yaml \
            --out "$work/$name" "${init[@]}" "${resume[@]}"
    fi
    init=(--init "$work/$name/weights.safetensors")
done
average "$work/laptop/weights.safetensors" "$work/averaged-1.safetensors" "$work/recipe"
for protocol in aio-paper harm; do
    dynet evaluate --weights "$work/laptop" --protocol $protocol --out "$work/$protocol" \
        --benchmark "CBSD68=$shared/benchmarks/CBSD68"
done
