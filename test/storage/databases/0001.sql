-- A database of schema 1 with rows in every table, as it was written when that was the newest. Never edited: newer programs must open it.
BEGIN TRANSACTION;
CREATE TABLE blob (
    id TEXT PRIMARY KEY,
    refs INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL, -- of the file, which a sealed one has more of than its object
    crc64 TEXT NOT NULL,
    sealing TEXT
  ) STRICT, WITHOUT ROWID;
INSERT INTO "blob" VALUES('01-1-0d5c43c0ea64e3fb78d300fa232bd870',1,300,'4ec4971285d0fdab',NULL);
INSERT INTO "blob" VALUES('01-1-2175ece689a5b241ab141eedaad06e6e',1,700,'10b84e179e775f09',NULL);
INSERT INTO "blob" VALUES('01-1-6768261f4eb8a6c846a9cbc93372bcf9',1,416,'70919a4f39e5f17f','{"format":1,"kind":"AES256","keyName":"old","salt":"Dwe3SGfQaryjRCsqwI1bGCch2EQlIB6WZMO6O3LYH0s=","wrappedKey":"0ZoFdzSsJYHYXnlsRvK164uG/j8fgG+Qde5RSFCOE3OLoF6IfdYxf+hxUSM3wfLo","plainBytes":400}');
INSERT INTO "blob" VALUES('01-1-d7e603c7fe74f95d8799896af6e8ada4',1,100,'a18887d942103c4e',NULL);
INSERT INTO "blob" VALUES('01-1-dc0f0bb828bcc0355a8d005c145bb776',1,500,'7d222d9c58168133',NULL);
INSERT INTO "blob" VALUES('01-1-e245a080c1e79586462359f81e6accfe',1,200,'7bee6e09550207fe',NULL);
INSERT INTO "blob" VALUES('01-1-e6b1c6a8d0a6343825258b84a0825e65',1,100,'2299d3a21e3a3770',NULL);
INSERT INTO "blob" VALUES('01-1-fd50f51638d78b468476d525a91ffa55',1,200,'a9f7c860572d80c0',NULL);
CREATE TABLE bucket (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    owner_id TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    versioning TEXT NOT NULL DEFAULT 'unversioned',
    config_names TEXT NOT NULL DEFAULT '' -- of bucket_config, so that who finds the bucket knows which there are
  ) STRICT;
INSERT INTO "bucket" VALUES(1,'plain','6d61746368626f78726f6f740000000000000000000000000000000000000000',1795540866737,'unversioned',',tagging,');
INSERT INTO "bucket" VALUES(2,'versioned','6d61746368626f78726f6f740000000000000000000000000000000000000000',1795540866756,'enabled','');
CREATE TABLE bucket_config (
    bucket_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (bucket_id, name)
  ) STRICT, WITHOUT ROWID;
INSERT INTO "bucket_config" VALUES(1,'tagging','[["a","b"]]');
CREATE TABLE client_token (
    bucket_id INTEGER NOT NULL,
    token TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    used_ms INTEGER NOT NULL,
    PRIMARY KEY (bucket_id, token)
  ) STRICT, WITHOUT ROWID;
INSERT INTO "client_token" VALUES(1,'token-1','b5byMTt2qHK4C6x8MllJdszoKPirqVMKlhrG8dQ2dYA=',1795540866997);
CREATE TABLE completed_upload (
    upload_id TEXT PRIMARY KEY,
    bucket_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    result TEXT NOT NULL,
    completed_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
INSERT INTO "completed_upload" VALUES('0000000000d0fd3e750d3db372bbf43c289e289400b',1,'multipart','+qLfKzAQeDEa1ab/+5pCPSizg3zI681MnWRsTMIjafQ=','{"fingerprint":"+qLfKzAQeDEa1ab/+5pCPSizg3zI681MnWRsTMIjafQ=","etag":"2177169fce2c35ccd9dd1d0e8aa3bb55-1","checksum":{"algorithm":"CRC64NVME","type":"FULL_OBJECT","value":"ELhOF553Xwk="},"versionId":"null"}',1795540866965);
CREATE TABLE content (id INTEGER PRIMARY KEY, refs INTEGER NOT NULL, inline BLOB, sealing TEXT) STRICT;
INSERT INTO "content" VALUES(1,1,X'736D616C6C',NULL);
INSERT INTO "content" VALUES(2,2,NULL,NULL);
INSERT INTO "content" VALUES(3,1,X'',NULL);
INSERT INTO "content" VALUES(5,1,NULL,NULL);
INSERT INTO "content" VALUES(6,1,X'939C0FF562A7D8E88DA6CEAD55A9EAF7709B7B20A532','{"format":1,"kind":"AES256","keyName":"old","salt":"hY7igHlKwn8uJWrBkrhXHE/0zAhAL1zzv1kgiWK9nDw=","wrappedKey":"FVpQ6e4RbA1nez1ia+G7RH0opUgUJC9dl02b0Do7XS+fML9dryBWmUHfTXLZeYDx","plainBytes":6}');
INSERT INTO "content" VALUES(7,1,NULL,NULL);
INSERT INTO "content" VALUES(11,1,NULL,NULL);
INSERT INTO "content" VALUES(15,1,NULL,NULL);
INSERT INTO "content" VALUES(17,1,NULL,NULL);
INSERT INTO "content" VALUES(18,1,X'72656E616D6564',NULL);
INSERT INTO "content" VALUES(21,1,X'76657273696F6E2D312076657273696F6E2D3120',NULL);
INSERT INTO "content" VALUES(22,1,NULL,NULL);
INSERT INTO "content" VALUES(23,1,X'76657273696F6E2D332076657273696F6E2D3320',NULL);
INSERT INTO "content" VALUES(25,1,X'6C697665',NULL);
CREATE TABLE content_part (
    content_id INTEGER NOT NULL,
    part_number INTEGER NOT NULL,
    start_byte INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    checksum TEXT,
    PRIMARY KEY (content_id, part_number)
  ) STRICT, WITHOUT ROWID;
INSERT INTO "content_part" VALUES(11,1,0,100,NULL);
INSERT INTO "content_part" VALUES(11,2,100,100,NULL);
INSERT INTO "content_part" VALUES(15,1,0,700,'{"algorithm":"CRC64NVME","type":"FULL_OBJECT","value":"ELhOF553Xwk="}');
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "counter" VALUES('change_seq',25);
INSERT INTO "counter" VALUES('generation',2);
CREATE TABLE credential (
    access_key_id TEXT PRIMARY KEY,
    secret_access_key TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    created_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
INSERT INTO "credential" VALUES('OLDKEY0001','a-secret-of-the-old-one','an-owner',1795540867601);
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
INSERT INTO "history" VALUES(2,'k',24,'EvYY39xmb_wZ01_t8_GKjBL2GN_cZm_k',1795540867021,0,'',0,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','',NULL,NULL);
INSERT INTO "history" VALUES(2,'k',23,'3dyT86BhWX6bdOIl8JYTnN3ck_OgYVlp',1795540867016,20,'f13e8536cdbdadadbdc6ff75ed635db4',23,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,NULL);
INSERT INTO "history" VALUES(2,'k',22,'2iBFEi3jBf2Fqe9z7LGoitogRRIt4wXr',1795540867011,200,'eb401e4d9f24ca876fe1fcb9a055fced',22,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,NULL);
INSERT INTO "history" VALUES(2,'k',21,'UDdIxqf_FKU5UeJ9o_h52lA3SMan_xSw',1795540867001,20,'b6ebae5578a5079dd0f730399e58c568',21,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,NULL);
CREATE TABLE key_change (
    bucket_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    seq INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL,
    PRIMARY KEY (bucket_id, key)
  ) STRICT, WITHOUT ROWID;
INSERT INTO "key_change" VALUES(1,'before-rename',20,1795540866997);
INSERT INTO "key_change" VALUES(1,'deleted',9,1795540866908);
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
INSERT INTO "object" VALUES(1,'after-rename',19,'null',1795540866984,7,'acca362a48577269b87ef58cd46e2c3a',18,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,NULL);
INSERT INTO "object" VALUES(1,'blob',2,'null',1795540866860,500,'5b49b5a34dbd1bded372755affd98546',2,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,NULL);
INSERT INTO "object" VALUES(1,'copy',10,'null',1795540866913,500,'5b49b5a34dbd1bded372755affd98546',2,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,NULL);
INSERT INTO "object" VALUES(1,'empty',3,'null',1795540866864,0,'d41d8cd98f00b204e9800998ecf8427e',3,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,NULL);
INSERT INTO "object" VALUES(1,'grown',12,'null',1795540866937,200,'532def9869d32c5dc985b17cd1e7de94-2',11,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,NULL);
INSERT INTO "object" VALUES(1,'inline',1,'null',1795540866850,5,'eb5c1399a871211c7e7ed732d15e3a8b',1,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"text/plain"},"user":{"note":"kept"}}',NULL,'{"tags":[["k","v"]]}');
INSERT INTO "object" VALUES(1,'multipart',15,'null',1795540866965,700,'2177169fce2c35ccd9dd1d0e8aa3bb55-1',15,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}','{"algorithm":"CRC64NVME","type":"FULL_OBJECT","value":"ELhOF553Xwk="}',NULL);
INSERT INTO "object" VALUES(1,'replaced',5,'null',1795540866880,300,'3a196a6d07f3fe72a6ab47953595ff9b',5,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,NULL);
INSERT INTO "object" VALUES(1,'sealed-blob',7,'null',1795540866900,400,'ea818e688961bef530f612cfe9c266a6',7,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,'{"encryption":{"kind":"AES256"}}');
INSERT INTO "object" VALUES(1,'sealed-inline',6,'null',1795540866888,6,'0bead884803fe8c5643dda0dcb94b1bc',6,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,'{"encryption":{"kind":"AES256"}}');
INSERT INTO "object" VALUES(2,'live',25,'pMoH3xH9Wv8Yhdz4IU0HXKTKB98R_Vrm',1795540867024,4,'d0dbe915091d400bd8ee7f27f0791303',25,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,NULL);
CREATE TABLE owner (id TEXT PRIMARY KEY, display_name TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "owner" VALUES('an-owner','Old');
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
INSERT INTO "part" VALUES('0000000000g327406305f4445381076ef9183b72d5c',1,17,200,1795540866981,'26045fb2cad38a1765ae322d97fcd348','{"algorithm":"CRC64NVME","type":"FULL_OBJECT","value":"qffIYFctgMA="}');
CREATE TABLE released_blob (id TEXT PRIMARY KEY, released_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "released_blob" VALUES('01-1-54ebb8eb654557036c42050bcc9499e6',1795540866880);
CREATE TABLE segment (
    content_id INTEGER NOT NULL,
    at_byte INTEGER NOT NULL, -- where the run begins in the object
    blob_id TEXT NOT NULL,
    start_byte INTEGER NOT NULL,
    length_bytes INTEGER NOT NULL,
    PRIMARY KEY (content_id, at_byte)
  ) STRICT, WITHOUT ROWID;
INSERT INTO "segment" VALUES(2,0,'01-1-dc0f0bb828bcc0355a8d005c145bb776',0,500);
INSERT INTO "segment" VALUES(5,0,'01-1-0d5c43c0ea64e3fb78d300fa232bd870',0,300);
INSERT INTO "segment" VALUES(7,0,'01-1-6768261f4eb8a6c846a9cbc93372bcf9',0,400);
INSERT INTO "segment" VALUES(11,0,'01-1-d7e603c7fe74f95d8799896af6e8ada4',0,100);
INSERT INTO "segment" VALUES(11,100,'01-1-e6b1c6a8d0a6343825258b84a0825e65',0,100);
INSERT INTO "segment" VALUES(15,0,'01-1-2175ece689a5b241ab141eedaad06e6e',0,700);
INSERT INTO "segment" VALUES(17,0,'01-1-fd50f51638d78b468476d525a91ffa55',0,200);
INSERT INTO "segment" VALUES(22,0,'01-1-e245a080c1e79586462359f81e6accfe',0,200);
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
INSERT INTO "upload" VALUES(1,'open','0000000000g327406305f4445381076ef9183b72d5c',16,1795540866969,'6d61746368626f78726f6f740000000000000000000000000000000000000000','STANDARD','{"headers":{"content-type":"binary/octet-stream"},"user":{}}',NULL,NULL);
CREATE UNIQUE INDEX history_version ON history (bucket_id, key, version_id);
CREATE INDEX key_change_age ON key_change (changed_ms);
CREATE INDEX upload_age ON upload (initiated_ms);
CREATE INDEX completed_upload_age ON completed_upload (completed_ms);
CREATE INDEX client_token_age ON client_token (used_ms);
CREATE INDEX released_blob_age ON released_blob (released_ms);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('bucket',2);
COMMIT;
PRAGMA user_version = 1;
