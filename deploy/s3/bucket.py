"""Makes the bucket of the store: `python bucket.py NAME`. A bucket that is there is left as it is.

Server and account come from AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Runs in
the image of the evaluator.
"""

import sys

import s3fs


def main(name: str) -> None:
    """Raises PermissionError for an account that may not, OSError for a server that does not answer."""
    files = s3fs.S3FileSystem()
    if not files.exists(name):
        files.mkdir(name)
    print(f"bucket {name}")


if __name__ == "__main__":
    main(sys.argv[1])
