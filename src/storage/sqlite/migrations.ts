/**
 * Numbered migrations: entry n brings a database from `user_version` n to n + 1, in one transaction. An entry is never edited: what
 * changes is a new one. test/storage/databases keeps a database of each schema, and a test compares what becomes of it with a new one.
 *
 * `object` holds the live current version of each key, clustered in listing order, so that a list page reads what it returns.
 * `history` holds everything else: older versions, and delete markers, also one that is current. Hence: a key has a live current version
 * if and only if `object` has its row; otherwise its newest row in `history`, if any, is a delete marker.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  INSERT INTO counter VALUES ('change_seq', 0), ('generation', 0);

  CREATE TABLE credential (
    access_key_id TEXT PRIMARY KEY,
    secret_access_key TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    created_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE owner (id TEXT PRIMARY KEY, display_name TEXT NOT NULL) STRICT, WITHOUT ROWID;

  -- AUTOINCREMENT: an id is never reused, so a change that was under way when its bucket was deleted cannot land in a new one
  CREATE TABLE bucket (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    owner_id TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    versioning TEXT NOT NULL DEFAULT 'unversioned',
    config_names TEXT NOT NULL DEFAULT '' -- of bucket_config, so that who finds the bucket knows which there are
  ) STRICT;

  CREATE TABLE object (
    bucket_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    seq INTEGER NOT NULL,
    version_id TEXT NOT NULL,
    modified_ms INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    etag TEXT NOT NULL,
    content_id INTEGER NOT NULL,
    owner_id TEXT NOT NULL,
    storage_class TEXT NOT NULL,
    metadata TEXT NOT NULL,
    checksum TEXT,
    traits TEXT, -- JSON; null where there are none
    PRIMARY KEY (bucket_id, key)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE history (
    bucket_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    seq INTEGER NOT NULL,
    version_id TEXT NOT NULL,
    modified_ms INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    etag TEXT NOT NULL,
    content_id INTEGER NOT NULL, -- 0: a delete marker
    owner_id TEXT NOT NULL,
    storage_class TEXT NOT NULL,
    metadata TEXT NOT NULL,
    checksum TEXT,
    traits TEXT,
    PRIMARY KEY (bucket_id, key, seq DESC)
  ) STRICT, WITHOUT ROWID;
  CREATE UNIQUE INDEX history_version ON history (bucket_id, key, version_id);

  -- the last change of a key that left no row of its own in object: a deletion, or a version that became current again.
  -- Tells an operation that was open meanwhile that its key was touched (409 instead of a lost update).
  CREATE TABLE key_change (
    bucket_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    seq INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL,
    PRIMARY KEY (bucket_id, key)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX key_change_age ON key_change (changed_ms);

  -- ids are change numbers, never reused: a reader that looks up a content that is gone finds nothing, never another one
  -- sealing: JSON; null where the bytes are not encrypted
  CREATE TABLE content (id INTEGER PRIMARY KEY, refs INTEGER NOT NULL, inline BLOB, sealing TEXT) STRICT;
  CREATE TABLE segment (
    content_id INTEGER NOT NULL,
    at_byte INTEGER NOT NULL, -- where the run begins in the object
    blob_id TEXT NOT NULL,
    start_byte INTEGER NOT NULL,
    length_bytes INTEGER NOT NULL,
    PRIMARY KEY (content_id, at_byte)
  ) STRICT, WITHOUT ROWID;
  -- the parts of a content that a multipart upload made
  CREATE TABLE content_part (
    content_id INTEGER NOT NULL,
    part_number INTEGER NOT NULL,
    start_byte INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    checksum TEXT,
    PRIMARY KEY (content_id, part_number)
  ) STRICT, WITHOUT ROWID;

  -- clustered in the order of ListMultipartUploads: ids sort by the time they were made
  CREATE TABLE upload (
    bucket_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    upload_id TEXT NOT NULL,
    opened_at_seq INTEGER NOT NULL,
    initiated_ms INTEGER NOT NULL,
    owner_id TEXT NOT NULL,
    storage_class TEXT NOT NULL,
    metadata TEXT NOT NULL,
    checksum_plan TEXT,
    traits TEXT,
    PRIMARY KEY (bucket_id, key, upload_id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX upload_age ON upload (initiated_ms);
  CREATE TABLE part (
    upload_id TEXT NOT NULL,
    part_number INTEGER NOT NULL,
    content_id INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    modified_ms INTEGER NOT NULL,
    md5_hex TEXT NOT NULL,
    checksum TEXT NOT NULL,
    PRIMARY KEY (upload_id, part_number)
  ) STRICT, WITHOUT ROWID;
  -- so that a client whose answer was lost and who asks again gets the same answer
  CREATE TABLE completed_upload (
    upload_id TEXT PRIMARY KEY,
    bucket_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    result TEXT NOT NULL,
    completed_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX completed_upload_age ON completed_upload (completed_ms);

  -- so that a rename whose answer was lost, and which is asked for again, does nothing
  CREATE TABLE client_token (
    bucket_id INTEGER NOT NULL,
    token TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    used_ms INTEGER NOT NULL,
    PRIMARY KEY (bucket_id, token)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX client_token_age ON client_token (used_ms);

  -- one document of a bucket: lock, tags, CORS, lifecycle and so on
  CREATE TABLE bucket_config (
    bucket_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (bucket_id, name)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE blob (
    id TEXT PRIMARY KEY,
    refs INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL, -- of the file, which a sealed one has more of than its object
    crc64 TEXT NOT NULL,
    sealing TEXT
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE released_blob (id TEXT PRIMARY KEY, released_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX released_blob_age ON released_blob (released_ms);
  `,
  `
  -- CRC-32 of each MiB of the file, so that a read can judge what it has read before it sends it; null: written under schema 1
  ALTER TABLE blob ADD COLUMN block_crcs BLOB;
  ALTER TABLE content ADD COLUMN crc32 INTEGER; -- of inline bytes, as they lie there

  -- blobs whose bytes were found not to be those that were written: nothing is read from them any more
  CREATE TABLE damaged_blob (id TEXT PRIMARY KEY, reason TEXT NOT NULL, found_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  -- where a job that takes longer than a life of the server has come to; JSON
  CREATE TABLE job_state (name TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT, WITHOUT ROWID;
  -- a backup copies what its snapshot names: as long as one holds, no released blob is removed
  CREATE TABLE sweep_hold (id TEXT PRIMARY KEY, until_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;

  ALTER TABLE credential ADD COLUMN policy TEXT; -- JSON; null where it may do all that its owner may
  ALTER TABLE credential ADD COLUMN expires_ms INTEGER;
  ALTER TABLE credential ADD COLUMN last_used_ms INTEGER; -- to the hour
  `,
  `
  -- seal_secret() is the program's. What stood there in plain is gone from the file when its mark is, see sealed-secrets.ts
  ALTER TABLE credential RENAME COLUMN secret_access_key TO sealed_secret;
  UPDATE credential SET sealed_secret = seal_secret(access_key_id, sealed_secret);
  INSERT OR REPLACE INTO job_state SELECT 'plain-secrets', '{}' WHERE EXISTS (SELECT 1 FROM credential);
  `,
]
