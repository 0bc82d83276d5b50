/** The part of aws4 that the tests use; the package brings no types. */
declare module 'aws4' {
  export interface Aws4Request {
    readonly method: string
    readonly host: string
    readonly path: string
    readonly service: string
    readonly region: string
    readonly signQuery?: boolean
    readonly headers: Record<string, string>
  }

  export interface Aws4Credentials {
    readonly accessKeyId: string
    readonly secretAccessKey: string
  }

  const aws4: {
    /** Adds the signature to the request itself, and returns it. */
    sign(request: Aws4Request, credentials: Aws4Credentials): { readonly path: string; readonly headers: Record<string, string | number> }
  }
  export default aws4
}
