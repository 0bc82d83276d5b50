-- A database of schema 2 with rows in every table, as it was written when that was the newest. Never edited: newer programs must open it.
BEGIN TRANSACTION;
CREATE TABLE blob (
    id TEXT PRIMARY KEY,
    refs INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL, -- of the file, which a sealed one has more of than its object
    crc64 TEXT NOT NULL,
    sealing TEXT
  , block_crcs BLOB) STRICT, WITHOUT ROWID;
INSERT INTO "blob" VALUES('01-1-5a03c99602aedff5f6d25566799377b5',1,200,'20b4613da000625c',NULL,X'6BB53DB2');
INSERT INTO "blob" VALUES('01-1-76c36ccc1f9edcbbe8911e503fce733d',1,300,'48d1e00c0c42e04e',NULL,X'369820E6');
INSERT INTO "blob" VALUES('01-1-95795b2753e79a89de7d3247f9734d32',1,700,'fe5f35f96333e5be',NULL,X'08A4A322');
INSERT INTO "blob" VALUES('01-1-b20ca170adb818f532754b40496f9ab4',1,416,'186af103b6917cf4','{"format":1,"kind":"AES256","keyName":"old","salt":"lRTSRPR+naUaiu2U0uaUFZLuKMgRwXhOzg2Rxj1mxeQ=","wrappedKey":"pX4qeXC1jmqVIFlJkNE3xOpNk7f0Up0V084Wl2R6Sumt+SWkmknVVGrxtW3mUNfw","plainBytes":400}',X'85C82BEA');
INSERT INTO "blob" VALUES('01-1-db93249520b985bdffafe1c1a68c3b0a',1,500,'7d222d9c58168133',NULL,X'E7ED9097');
INSERT INTO "blob" VALUES('01-1-f6aa426cbb718961d5f391320003409e',1,600,'458da4a74c454ec7',NULL,X'082F458B');
CREATE TABLE bucket (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    owner_id TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    versioning TEXT NOT NULL DEFAULT 'unversioned',
    config_names TEXT NOT NULL DEFAULT '' -- of bucket_config, so that who finds the bucket knows which there are
  ) STRICT;
INSERT INTO "bucket" VALUES(1,'plain','6d61746368626f78726f6f740000000000000000000000000000000000000000',1795554082632,'unversioned',',tagging,');
INSERT INTO "bucket" VALUES(2,'versioned','6d61746368626f78726f6f740000000000000000000000000000000000000000',1795554082643,'enabled','');
CREATE TABLE bucket_config (
    bucket_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (bucket_id, name)
  ) STRICT, WITHOUT ROWID;
INSERT INTO "bucket_config" VALUES(1,'tagging','[["k","v"]]');
CREATE TABLE client_token (
    bucket_id INTEGER NOT NULL,
    token TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    used_ms INTEGER NOT NULL,
    PRIMARY KEY (bucket_id, token)
  ) STRICT, WITHOUT ROWID;
INSERT INTO "client_token" VALUES(1,'token-0002','b5byMTt2qHK4C6x8MllJdszoKPirqVMKlhrG8dQ2dYA=',1795554089007);
CREATE TABLE completed_upload (
    upload_id TEXT PRIMARY KEY,
    bucket_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    result TEXT NOT NULL,
    completed_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
INSERT INTO "completed_upload" VALUES('0000000000fec4fb1cd73080402eb613cbc445075b4',1,'multipart','dXGaIhtOERyC1c/8CVaIL3KViN+a9p0HCXgElS+bk3g=','{"fingerprint":"dXGaIhtOERyC1c/8CVaIL3KViN+a9p0HCXgElS+bk3g=","etag":"7bef00d4d6ed5da048f9d8b9efac9d7a-1","checksum":{"algorithm":"CRC64NVME","type":"FULL_OBJECT","value":"/l81+WMz5b4="},"versionId":"null"}',1795554089072);
CREATE TABLE content (id INTEGER PRIMARY KEY, refs INTEGER NOT NULL, inline BLOB, sealing TEXT, crc32 INTEGER) STRICT;
INSERT INTO "content" VALUES(1,1,X'736D616C6C',NULL,1967516179);
INSERT INTO "content" VALUES(2,2,NULL,NULL,NULL);
INSERT INTO "content" VALUES(3,1,X'',NULL,0);
INSERT INTO "content" VALUES(5,1,NULL,NULL,NULL);
INSERT INTO "content" VALUES(6,1,NULL,NULL,NULL);
INSERT INTO "content" VALUES(7,1,X'2F3391B58485D300A1207D55146AB903F5D45C22764C','{"format":1,"kind":"AES256","keyName":"old","salt":"mJrx9blScAVgQ04Xe4smwr2Ti371JE+XfSGg7BPji3g=","wrappedKey":"LpidOFbSTMDbCHBTIKhJHwGmSwx1Pc5f3BFjx5LZRQ+09ZduL0PFKfxAKAU78VNX","plainBytes":6}',999968926);
INSERT INTO "content" VALUES(8,1,X'776974682074616773',NULL,3470138387);
INSERT INTO "content" VALUES(12,1,X'72656E616D6564',NULL,157334287);
INSERT INTO "content" VALUES(17,1,NULL,NULL,NULL);
INSERT INTO "content" VALUES(19,1,NULL,NULL,NULL);
INSERT INTO "content" VALUES(20,1,X'66697273742076657273696F6E',NULL,3655351299);
INSERT INTO "content" VALUES(21,1,NULL,NULL,NULL);
INSERT INTO "content" VALUES(22,1,X'74686972642076657273696F6E',NULL,1489701181);
INSERT INTO "content" VALUES(24,1,X'6C697665',NULL,1393503407);
CREATE TABLE content_part (
    content_id INTEGER NOT NULL,
    part_number INTEGER NOT NULL,
    start_byte INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    checksum TEXT,
    PRIMARY KEY (content_id, part_number)
  ) STRICT, WITHOUT ROWID;
INSERT INTO "content_part" VALUES(17,1,0,700,'{"algorithm":"CRC64NVME","type":"FULL_OBJECT","value":"/l81+WMz5b4="}');
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "counter" VALUES('change_seq',24);
INSERT INTO "counter" VALUES('generation',5);
CREATE TABLE credential (
    access_key_id TEXT PRIMARY KEY,
    secret_access_key TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    created_ms INTEGER NOT NULL
  , policy TEXT, expires_ms INTEGER, last_used_ms INTEGER) STRICT, WITHOUT ROWID;
INSERT INTO "credential" VALUES('OLDKEY0002','a-secret-of-the-second-one','87f5f1de71190776c4c91baed54115c0e2f041f1044e723ee0c07964d8a3e067',1795554083111,NULL,NULL,1795554088700);
INSERT INTO "credential" VALUES('OLDLIMITED','a-secret-of-the-limited-one','dfab2ce8cf2ba6934baf7c99414a339cca11837b61c1e500730db331408cf414',1795554084853,'{"Version":"2012-10-17","Statement":[{"Sid":"Objects","Effect":"Allow","Action":["s3:GetObject","s3:GetObjectVersion","s3:GetObjectAttributes","s3:GetObjectAcl","s3:GetObjectTagging","s3:GetObjectVersionTagging","s3:GetObjectRetention","s3:GetObjectLegalHold","s3:ListMultipartUploadParts","s3:PutObject","s3:PutObjectTagging","s3:AbortMultipartUpload"],"Resource":["arn:aws:s3:::plain/*"]},{"Sid":"Bucket","Effect":"Allow","Action":["s3:GetBucketLocation","s3:GetBucketVersioning","s3:GetBucketObjectLockConfiguration"],"Resource":["arn:aws:s3:::plain"]},{"Sid":"List","Effect":"Allow","Action":["s3:ListBucket","s3:ListBucketVersions","s3:ListBucketMultipartUploads"],"Resource":["arn:aws:s3:::plain"]},{"Sid":"AppendOnly","Effect":"Deny","Action":"matchbox:OverwriteObject","Resource":"*"}]}',4073500800000,NULL);
CREATE TABLE damaged_blob (id TEXT PRIMARY KEY, reason TEXT NOT NULL, found_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "damaged_blob" VALUES('02-1-of-nobody','it is missing',1795540866997);
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
INSERT INTO "history" VALUES(2,'k',23,'TVg7knUdBN6VvxSZduNWjk1YO5J1HQTJ',1795554089140,0,'',0,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','',NULL,NULL);
INSERT INTO "history" VALUES(2,'k',22,'buUv6mqN0sULlYK29672LG7lL-pqjdLT',1795554089134,13,'804ec9956f6a7495bc6d634ee0d13a87',22,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,NULL);
INSERT INTO "history" VALUES(2,'k',21,'if7atmhMDdca15la4mV-Ton-2rZoTA3C',1795554089127,200,'47431df0387414dc3a16666da5ffa715',21,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,NULL);
INSERT INTO "history" VALUES(2,'k',20,'l_itXUTxEPJxCOspsKcVNpf4rV1E8RDm',1795554089111,13,'e9e2371570daec2e7b70faa4f0f1eab8',20,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,NULL);
CREATE TABLE job_state (name TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "job_state" VALUES('of-a-job','{}');
CREATE TABLE key_change (
    bucket_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    seq INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL,
    PRIMARY KEY (bucket_id, key)
  ) STRICT, WITHOUT ROWID;
INSERT INTO "key_change" VALUES(1,'before-rename',14,1795554089007);
INSERT INTO "key_change" VALUES(1,'deleted',10,1795554088953);
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
INSERT INTO "object" VALUES(1,'after-rename',13,'null',1795554088990,7,'acca362a48577269b87ef58cd46e2c3a',12,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,NULL);
INSERT INTO "object" VALUES(1,'blob',2,'null',1795554088834,500,'5b49b5a34dbd1bded372755affd98546',2,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,NULL);
INSERT INTO "object" VALUES(1,'copy',11,'null',1795554088968,500,'5b49b5a34dbd1bded372755affd98546',2,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,NULL);
INSERT INTO "object" VALUES(1,'empty',3,'null',1795554088842,0,'d41d8cd98f00b204e9800998ecf8427e',3,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,NULL);
INSERT INTO "object" VALUES(1,'inline',1,'null',1795554088802,5,'eb5c1399a871211c7e7ed732d15e3a8b',1,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"text/plain"},"user":{}}',NULL,NULL);
INSERT INTO "object" VALUES(1,'multipart',17,'null',1795554089072,700,'7bef00d4d6ed5da048f9d8b9efac9d7a-1',17,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}','{"algorithm":"CRC64NVME","type":"FULL_OBJECT","value":"/l81+WMz5b4="}',NULL);
INSERT INTO "object" VALUES(1,'replaced',5,'null',1795554088881,300,'ed46cb3f48bc1cbad164e807ef4df485',5,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,NULL);
INSERT INTO "object" VALUES(1,'sealed-blob',6,'null',1795554088908,400,'ab0bde39d2be1145af3eea48cada2dba',6,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,'{"encryption":{"kind":"AES256"}}');
INSERT INTO "object" VALUES(1,'sealed-inline',7,'null',1795554088921,6,'0bead884803fe8c5643dda0dcb94b1bc',7,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,'{"encryption":{"kind":"AES256"}}');
INSERT INTO "object" VALUES(1,'tagged',8,'null',1795554088929,9,'7d4a693587d0e087d72349595ce77257',8,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{"note":"kept"}}',NULL,'{"tags":[["a","1"]]}');
INSERT INTO "object" VALUES(2,'live',24,'iatbg8pF-OEYGYbJwwCSW4mrW4PKRfj5',1795554089151,4,'d0dbe915091d400bd8ee7f27f0791303',24,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,NULL);
CREATE TABLE owner (id TEXT PRIMARY KEY, display_name TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "owner" VALUES('6024bb3b1d1bff50d60096e0636e867596cf84cce10308964acc9e5471a9fe27','OLDREVOKED');
INSERT INTO "owner" VALUES('87f5f1de71190776c4c91baed54115c0e2f041f1044e723ee0c07964d8a3e067','Old & second');
INSERT INTO "owner" VALUES('dfab2ce8cf2ba6934baf7c99414a339cca11837b61c1e500730db331408cf414','OLDLIMITED');
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
INSERT INTO "part" VALUES('0000000000i822cef8994dc260cb05712d3f729e703',1,19,600,1795554089102,'088e4841c4d7a07510e0ceab5ae0c4aa','{"algorithm":"CRC64NVME","type":"FULL_OBJECT","value":"RY2kp0xFTsc="}');
CREATE TABLE released_blob (id TEXT PRIMARY KEY, released_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "released_blob" VALUES('01-1-531e27c07ad1f51a5672cdae993d41cb',1795554088881);
CREATE TABLE segment (
    content_id INTEGER NOT NULL,
    at_byte INTEGER NOT NULL, -- where the run begins in the object
    blob_id TEXT NOT NULL,
    start_byte INTEGER NOT NULL,
    length_bytes INTEGER NOT NULL,
    PRIMARY KEY (content_id, at_byte)
  ) STRICT, WITHOUT ROWID;
INSERT INTO "segment" VALUES(2,0,'01-1-db93249520b985bdffafe1c1a68c3b0a',0,500);
INSERT INTO "segment" VALUES(5,0,'01-1-76c36ccc1f9edcbbe8911e503fce733d',0,300);
INSERT INTO "segment" VALUES(6,0,'01-1-b20ca170adb818f532754b40496f9ab4',0,400);
INSERT INTO "segment" VALUES(17,0,'01-1-95795b2753e79a89de7d3247f9734d32',0,700);
INSERT INTO "segment" VALUES(19,0,'01-1-f6aa426cbb718961d5f391320003409e',0,600);
INSERT INTO "segment" VALUES(21,0,'01-1-5a03c99602aedff5f6d25566799377b5',0,200);
CREATE TABLE sweep_hold (id TEXT PRIMARY KEY, until_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "sweep_hold" VALUES('of-a-backup',1);
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
INSERT INTO "upload" VALUES(1,'open','0000000000i822cef8994dc260cb05712d3f729e703',18,1795554089085,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,NULL);
CREATE INDEX client_token_age ON client_token (used_ms);
CREATE INDEX completed_upload_age ON completed_upload (completed_ms);
CREATE UNIQUE INDEX history_version ON history (bucket_id, key, version_id);
CREATE INDEX key_change_age ON key_change (changed_ms);
CREATE INDEX released_blob_age ON released_blob (released_ms);
CREATE INDEX upload_age ON upload (initiated_ms);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('bucket',2);
COMMIT;
PRAGMA user_version = 2;
