"""Who may call the objectstore role: full method name to the roles that may."""

_BUCKETS = "/novamesh.objectstore.v1.BucketService"
_OBJECTS = "/novamesh.objectstore.v1.ObjectService"
_BUNDLES = "/novamesh.objectstore.v1.BundleService"

ROWS: dict[str, frozenset[str]] = {
    f"{_BUCKETS}/CreateBucket": frozenset({"gateway", "admin"}),
    f"{_BUCKETS}/GetBucket": frozenset({"gateway", "admin"}),
    f"{_BUCKETS}/ListBuckets": frozenset({"gateway", "admin"}),
    f"{_BUCKETS}/UpdateBucket": frozenset({"gateway", "admin"}),
    f"{_BUCKETS}/DeleteBucket": frozenset({"gateway", "admin"}),
    f"{_OBJECTS}/PutObject": frozenset({"gateway", "compute"}),
    f"{_OBJECTS}/GetObject": frozenset({"gateway", "image", "admin"}),
    f"{_OBJECTS}/StatObject": frozenset({"gateway", "image", "admin"}),
    f"{_OBJECTS}/ListObjects": frozenset({"gateway", "admin"}),
    f"{_OBJECTS}/CopyObject": frozenset({"gateway"}),
    f"{_OBJECTS}/DeleteObject": frozenset({"gateway", "admin"}),
    f"{_OBJECTS}/CreateUpload": frozenset({"gateway"}),
    f"{_OBJECTS}/PutPart": frozenset({"gateway"}),
    f"{_OBJECTS}/ListParts": frozenset({"gateway"}),
    f"{_OBJECTS}/CompleteUpload": frozenset({"gateway"}),
    f"{_OBJECTS}/AbortUpload": frozenset({"gateway", "admin"}),
    f"{_BUNDLES}/RegisterBundle": frozenset({"gateway"}),
    f"{_BUNDLES}/GetBundle": frozenset({"gateway", "admin"}),
    f"{_BUNDLES}/ListBundles": frozenset({"admin"}),
}
