"""`python -m dynet`, which is how `torchrun -m dynet` and `accelerate launch -m dynet` start it on many devices."""

from dynet.cli.app import main

if __name__ == "__main__":
    main()
