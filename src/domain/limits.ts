/** Every limit with its unit and its source. Nothing in the house is unbounded. */

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB

/** Longest object key, in bytes of UTF-8. https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html */
export const KEY_BYTES_MAX = 1024
/** Largest object of one PUT. https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html */
export const PUT_BYTES_MAX = 5 * GIB
/** Largest object, made of parts. https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
export const OBJECT_BYTES_MAX = 48.8 * 1024 * GIB
/** Parts of one upload, and their numbers. https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
export const PART_NUMBER_MAX = 10_000
/** Smallest part but the last. https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
export const PART_BYTES_MIN = 5 * MIB
/** Entries of one ListParts, ListMultipartUploads or GetObjectAttributes page. */
export const LIST_PARTS_MAX = 1000
/** CompleteMultipartUpload alone may be larger than other XML: 10,000 parts with a checksum each. */
export const COMPLETE_XML_BYTES_MAX = 4 * MIB
/** User metadata of one object: names and values together. https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html */
export const USER_METADATA_BYTES_MAX = 2 * KIB
/** Tags of one object and of one bucket; https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html */
export const OBJECT_TAGS_MAX = 10
export const BUCKET_TAGS_MAX = 50
/** A tag's key and value, in UTF-16 code units. Same source. */
export const TAG_KEY_LENGTH_MAX = 128
export const TAG_VALUE_LENGTH_MAX = 256
/** Grants of one ACL. https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html */
export const ACL_GRANTS_MAX = 100
/** Analytics, inventory, metrics or intelligent-tiering configurations of one bucket, and of one page of their list. Their API pages. */
export const CONFIGURATIONS_MAX = 1000
export const LIST_CONFIGURATIONS_MAX = 100
/** Keys of one DeleteObjects. https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html */
export const DELETE_OBJECTS_KEYS_MAX = 1000
/** Entries of one list page; a larger request gets this many. */
export const LIST_KEYS_MAX = 1000
/** Buckets of one ListBuckets page. https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html */
export const LIST_BUCKETS_MAX = 10_000
/** XML request bodies; DeleteObjects alone may be larger: 1,000 keys of 1,024 bytes, each escaped. */
export const XML_BYTES_MAX = 1 * MIB
export const DELETE_OBJECTS_XML_BYTES_MAX = 8 * MIB
/** Nesting of an XML request body: the deepest S3 document has 7 levels. */
export const XML_DEPTH_MAX = 16
/** Elements of an XML request body: CompleteMultipartUpload with 10,000 parts and three fields each has 40,001. */
export const XML_ELEMENTS_MAX = 50_000
/** Name of a bucket. https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html */
export const BUCKET_NAME_MIN = 3
export const BUCKET_NAME_MAX = 63
/** Default retention of a bucket. https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html */
export const RETENTION_DAYS_MAX = 36_500
export const RETENTION_YEARS_MAX = 100
/** Entity tags in one If-Match or If-None-Match. */
export const ENTITY_TAGS_MAX = 256
/** Request line and header section of a request together; Node refuses more with 431. */
export const HEADER_BYTES_MAX = 16 * KIB
/**
 * A browser form before its file, with all names, headers and boundaries; AWS says 20 KB, which a policy alone may have here. As much may
 * come behind the file.
 */
export const FORM_BYTES_MAX = 64 * KIB
export const FORM_FIELDS_MAX = 100
/** One field of a form, and the policy among them, in base64. https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html */
export const FORM_FIELD_BYTES_MAX = 20 * KIB
export const POLICY_BYTES_MAX = 20 * KIB
/** Header section of one part of a form. */
export const FORM_PART_HEADER_BYTES_MAX = 8 * KIB
/** Uploads to files at one time, in each process: each holds up to two writes of 512 KiB. */
export const BLOB_UPLOADS_MAX = 256
/** Connections beyond the limit that are told so before they are closed. */
export const CONNECTIONS_RESERVE = 100
/** Clock difference between a signature and us. https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html */
export const CLOCK_SKEW_MS_MAX = 15 * 60 * 1000
/** Life of temporary credentials, in seconds. https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html and API_GetSessionToken.html */
export const SESSION_SECONDS_MIN = 900
export const ROLE_SESSION_SECONDS_MAX = 12 * 3600
export const SESSION_SECONDS_MAX = 36 * 3600
/** Policy of a session, in UTF-16 code units. Same source. */
export const SESSION_POLICY_LENGTH_MAX = 2048
/** A token travels in each request, in a header or in a URL, which share `HEADER_BYTES_MAX` with all else. */
export const SESSION_TOKEN_CHARACTERS_MAX = 4 * KIB
/** The form that asks for one: a policy whose every character is escaped, and some names. */
export const TOKEN_REQUEST_BYTES_MAX = 64 * KIB
/** Life of a presigned URL. https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html */
export const PRESIGN_SECONDS_MAX = 7 * 24 * 3600
/** One chunk header line of aws-chunked, extensions included. */
export const CHUNK_HEADER_BYTES_MAX = 1 * KIB
/** Trailer section of aws-chunked. */
export const TRAILER_BYTES_MAX = 4 * KIB
/** The rest of a refused body up to this is read, so that the connection can live on; behind a larger one it is closed. */
export const DRAIN_BYTES_MAX = 1 * MIB
/**
 * Before it is closed, what still comes is read and thrown away: for so long in all, and as long as there is no such pause. A client that is
 * reset while it sends never sees the answer; nginx makes a 502 of it.
 */
export const DRAIN_MS_MAX = 20_000
export const DRAIN_PAUSE_MS_MAX = 2000
/** For the rest of a small body behind its answer, which is read so that the connection can live on. */
export const REST_MS_MAX = 60_000

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/how-to-page-redirect.html; one character a byte, as headers come. */
export const REDIRECT_LOCATION_BYTES_MAX = 2048

/** Routing rules of a website: https://docs.aws.amazon.com/AmazonS3/latest/userguide/how-to-page-redirect.html */
export const ROUTING_RULES_MAX = 50
