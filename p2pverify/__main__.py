"""`python -m p2pverify` is the command `p2pverify`."""

from p2pverify.cli.main import main

if __name__ == "__main__":
    main()
