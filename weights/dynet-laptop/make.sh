#!/bin/bash
# Everything from images to the tables of the card: `weights/dynet-laptop/make.sh SHARED WORK`, from the root of a clone.
# SHARED holds train/BSDS500, photos, benchmarks and fingerprints; WORK gets datasets, runs and results. It resumes; two
# days on two processor cores. The runs follow each other: start-23.yaml is the first, recipe.yaml the last.
# start-13.yaml begins with the mean of the weights of the three before it, start-7.yaml with that of start-8.yaml and of
# start-10.yaml. From then on every second run begins with the mean of what the run before the last began with and of the
# last; the weights are such a mean, too.
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
begin_with_average() {
    average "$work/averaged-$1.safetensors" "${@:2}"
    init=(--init "$work/averaged-$1.safetensors")
}
init=()
for name in start-{23..1} recipe; do
    case $name in
    start-13) begin_with_average 13 "$work"/start-{16,15,14} ;;
    start-7) begin_with_average 7 "$work"/start-{10,8} ;;
    start-5) begin_with_average 5 "$work/averaged-7.safetensors" "$work/start-6" ;;
    start-3) begin_with_average 3 "$work/averaged-5.safetensors" "$work/start-4" ;;
    start-1) begin_with_average 1 "$work/averaged-3.safetensors" "$work/start-2" ;;
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
