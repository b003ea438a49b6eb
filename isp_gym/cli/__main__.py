"""``python -m isp_gym.cli``."""

from isp_gym.cli.app import main

if __name__ == "__main__":
    main()
