/** The bytes of a request as the engine sees them: decoded, counted, verified. The http floor makes it; nobody reads ahead of demand. */
export interface RequestBody {
  /** Bytes after decoding, where the request declares them. */
  readonly lengthBytes: number | undefined
  /**
   * The whole body, when it is at most `maxBytes`.
   * @throws {S3Error} EntityTooLarge, IncompleteBody, and whatever its framing or signature is wrong with.
   */
  collect(maxBytes: number): Promise<Buffer>
  /** The decoded pieces in their order; each belongs to the reader until it asks for the next. Throws as `collect`. */
  pieces(): AsyncIterable<readonly Buffer[]>
  /** What came behind the body, by lower-case name; complete only after the end. */
  readonly trailers: ReadonlyMap<string, string>
}
