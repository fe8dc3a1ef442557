"""Workers read pictures from an object storage themselves, with credentials of their own."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest

from lookalike import Index
from lookalike.cluster import RayWorkers
from tests.cluster.conftest import Target, nodes
from tests.cluster.test_ray import assert_same_rows
from tests.milvus_server import TOKEN
from tests.test_storages import BUCKET, s3, s3_address

# Ray warns of itself.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]
__all__ = ["s3", "s3_address"]


@pytest.mark.usefixtures("s3")
def test_pictures_in_a_bucket(samples: Path, tmp_path: Path, target: Target) -> None:
    client = boto3.client("s3")
    pictures = sorted((samples / "birds").glob("*.jpg"))
    for picture in pictures:
        client.upload_file(picture.as_posix(), BUCKET, f"birds/{picture.name}")
    client.close()
    folder = f"s3://{BUCKET}/birds"
    # Its machines know the storage from variables, as this process does.
    with nodes(2) as cluster, target.open() as index, Index.open(tmp_path / "local.db") as local:
        ours = index.add(folder, workers=RayWorkers(cluster.address, token=TOKEN))
        theirs = local.add(folder)
        assert ours.added == theirs.added == len(pictures) > 5
        assert_same_rows(index, local)
