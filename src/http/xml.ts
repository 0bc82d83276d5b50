/**
 * XML in both directions. Out: a plain writer that escapes whatever a client may have chosen. In: saxes as tokenizer, and a small tree
 * with limits, because S3's documents are small and each of them is checked element by element.
 */
import { type SaxesAttributeNS, SaxesParser } from 'saxes'
import { XML_DEPTH_MAX, XML_ELEMENTS_MAX } from '../domain/limits.ts'
import { S3Error } from '../domain/s3-error.ts'
import { pause } from '../engine/turns.ts'

export const S3_NAMESPACE = 'http://s3.amazonaws.com/doc/2006-03-01/'
const XML_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

/** Scalars become text, objects nest, arrays repeat the element, undefined leaves it out. */
export type XmlValue = string | number | boolean | undefined | XmlChildren | readonly (string | number | boolean | XmlChildren)[]

/** Elements in the order of the members. A member whose name begins with `@` is an attribute (text or number) and stands before the elements. */
export interface XmlChildren {
  readonly [name: string]: XmlValue
}

/**
 * A whole document. Names of elements are our own and are not escaped; values may be anything.
 * A list of `children` is written one after the other: for documents whose elements alternate.
 * @param namespace default namespace of the root; undefined for `<Error>`, which has none
 */
export function xmlDocument(rootName: string, children: XmlChildren | readonly XmlChildren[], namespace?: string): string {
  let body = ''
  if (Array.isArray(children)) for (const each of children as readonly XmlChildren[]) body += members(each)
  else body = members(children as XmlChildren)
  const open = namespace === undefined ? `<${rootName}` : `<${rootName} xmlns="${escapeAttribute(namespace)}"`
  return body === '' ? `${XML_DECLARATION}${open}/>` : `${XML_DECLARATION}${open}>${body}</${rootName}>`
}

export type XmlElementValue = readonly [name: string, value: XmlChildren]

/**
 * Of a thousand elements that are only made while it is written: others are served in between. Each slice becomes bytes at once, as a long text that is
 * still in pieces when the garbage collector comes costs as much as all of the page.
 */
export async function xmlDocumentInSlices(rootName: string, head: XmlChildren, rest: Iterable<XmlElementValue>, namespace: string): Promise<Buffer> {
  const slices: Buffer[] = []
  let text = `${XML_DECLARATION}<${rootName} xmlns="${escapeAttribute(namespace)}">${members(head)}`
  let count = 0
  for (const [name, value] of rest) {
    text += element(name, value)
    if (++count % SLICE_ELEMENTS > 0) continue
    slices.push(Buffer.from(text))
    text = ''
    await pause()
  }
  slices.push(Buffer.from(`${text}</${rootName}>`))
  return Buffer.concat(slices)
}

/** Some half a millisecond of work, and ten times that in a process that has just begun. */
const SLICE_ELEMENTS = 200

function members(children: XmlChildren): string {
  let text = ''
  for (const name in children) {
    const value = children[name]
    if (value === undefined || name.charCodeAt(0) === AT_SIGN) continue
    if (Array.isArray(value)) for (const each of value as readonly (string | number | boolean | XmlChildren)[]) text += element(name, each)
    else text += element(name, value as string | number | boolean | XmlChildren)
  }
  return text
}

function element(name: string, value: string | number | boolean | XmlChildren): string {
  if (typeof value === 'string') return value === '' ? `<${name}/>` : `<${name}>${escapeText(value)}</${name}>`
  if (typeof value !== 'object') return `<${name}>${value}</${name}>`
  const body = members(value)
  const open = `<${name}${attributes(value)}`
  return body === '' ? `${open}/>` : `${open}>${body}</${name}>`
}

function attributes(children: XmlChildren): string {
  let text = ''
  for (const name in children) {
    if (name.charCodeAt(0) !== AT_SIGN) break
    const value = children[name]
    if (typeof value === 'string' || typeof value === 'number') text += ` ${name.slice(1)}="${escapeAttribute(String(value))}"`
  }
  return text
}

const AT_SIGN = 0x40
// Everything that is not plain; surrogates are here because half of a pair may come.
const SPECIAL = /[^\t\n\x20\x21\x23-\x25\x27-\x3b\x3d\x3f-\ud7ff\ue000-\ufffd]/
const EACH_SPECIAL = /[^\t\n\x20\x21\x23-\x25\x27-\x3b\x3d\x3f-\ud7ff\ue000-\ufffd]/gu
const REFERENCES: ReadonlyMap<string, string> = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ['\r', '&#13;'],
])

/**
 * Text for an element. A carriage return, which parsers normalize, travels as a reference; tabs and line feeds do not, for they survive as they are
 * and fast-xml-parser, for one, leaves numeric references undecoded. What XML 1.0 cannot carry at all (control characters, U+FFFE, U+FFFF, half of a
 * surrogate pair) becomes U+FFFD: whoever needs it asks for `encoding-type=url`.
 */
function escapeText(text: string): string {
  return SPECIAL.test(text) ? text.replace(EACH_SPECIAL, reference) : text
}

/** In an attribute parsers make spaces of tabs and line feeds. */
function escapeAttribute(text: string): string {
  return escapeText(text).replaceAll('\t', '&#9;').replaceAll('\n', '&#10;')
}

function reference(character: string): string {
  return REFERENCES.get(character) ?? (character.length === 2 ? character : '\uFFFD')
}

/** An element of a request, after namespaces. */
export interface XmlElement {
  /** Local name. */
  readonly name: string
  /** By local name, without namespace declarations. */
  readonly attributes: ReadonlyMap<string, string>
  readonly children: readonly XmlElement[]
  /** All text that stands directly in this element, unchanged. */
  readonly text: string
}

interface Building {
  readonly name: string
  readonly attributes: ReadonlyMap<string, string>
  readonly children: Building[]
  text: string
}

const ATTRIBUTES_MAX = 16
const PROBLEM_CHARACTERS_MAX = 200
const XMLNS_NAMESPACE = 'http://www.w3.org/2000/xmlns/'
const NO_ATTRIBUTES: ReadonlyMap<string, string> = new Map()

/** The refusal of a document, with what is wrong in it. */
export function malformedXml(problem: string): S3Error {
  const shown = problem.length > PROBLEM_CHARACTERS_MAX ? `${problem.slice(0, PROBLEM_CHARACTERS_MAX)}...` : problem
  return new S3Error('MalformedXML', {
    message: `The XML that you provided was not well-formed or did not validate against our published schema: ${shown}`,
  })
}

/**
 * Reads a whole document. The caller has bounded its bytes; depth, elements and attributes are bounded here.
 * @throws S3Error MalformedXML for anything but well-formed UTF-8 XML 1.0 whose root is `rootName`, in no namespace or in that of S3, without
 * DOCTYPE (so that no entity of the client exists) and without processing instructions; the message says what is wrong and where (line:column)
 */
export function parseXml(body: Uint8Array, rootName: string): XmlElement {
  const reader = beginXml(rootName)
  reader.write(decodeUtf8(body))
  return reader.end()
}

/** Characters that are read at once: some milliseconds. */
const SLICE_CHARACTERS = 32 * 1024

/** As {@link parseXml}, with pauses: for documents of thousands of elements. */
export async function parseLargeXml(body: Uint8Array, rootName: string): Promise<XmlElement> {
  const text = decodeUtf8(body)
  const reader = beginXml(rootName)
  for (let at = 0; at < text.length; at += SLICE_CHARACTERS) {
    if (at > 0) await pause()
    reader.write(text.slice(at, at + SLICE_CHARACTERS))
  }
  return reader.end()
}

function beginXml(rootName: string): { write(text: string): void; end(): XmlElement } {
  const parser = new SaxesParser({ xmlns: true, forceXMLVersion: true, defaultXMLVersion: '1.0' })
  const open: Building[] = []
  let root: Building | undefined
  let elements = 0
  let depth = 0
  let attributesOfTag = 0
  const refuse = (problem: string): never => {
    throw malformedXml(`${parser.line}:${parser.column}: ${problem}`)
  }
  const addText = (text: string): void => {
    const parent = open[open.length - 1]
    if (parent !== undefined) parent.text += text
  }
  parser.on('error', (error) => {
    throw malformedXml(error.message)
  })
  parser.on('xmldecl', ({ version, encoding }) => {
    if (version !== '1.0') refuse('only XML 1.0 is accepted')
    if (encoding !== undefined && encoding.toLowerCase() !== 'utf-8') refuse('only the encoding UTF-8 is accepted')
  })
  parser.on('doctype', () => refuse('a DOCTYPE is not accepted'))
  parser.on('processinginstruction', () => refuse('processing instructions are not accepted'))
  // Counted at the name of the tag, before the parser resolves namespaces through all levels above.
  parser.on('opentagstart', () => {
    attributesOfTag = 0
    if (++elements > XML_ELEMENTS_MAX) refuse(`more than ${XML_ELEMENTS_MAX} elements`)
    if (++depth > XML_DEPTH_MAX) refuse(`elements are nested deeper than ${XML_DEPTH_MAX} levels`)
  })
  parser.on('attribute', () => {
    if (++attributesOfTag > ATTRIBUTES_MAX) refuse(`an element has more than ${ATTRIBUTES_MAX} attributes`)
  })
  parser.on('opentag', (tag) => {
    if (tag.uri !== '' && tag.uri !== S3_NAMESPACE) refuse(`element ${tag.local} is in an unknown namespace`)
    if (root === undefined && tag.local !== rootName) refuse(`the root element is not ${rootName}`)
    const built: Building = {
      name: tag.local,
      attributes: attributesOfTag === 0 ? NO_ATTRIBUTES : readAttributes(tag.attributes, refuse),
      children: [],
      text: '',
    }
    const parent = open[open.length - 1]
    if (parent !== undefined) parent.children.push(built)
    root ??= built
    open.push(built)
  })
  parser.on('closetag', () => {
    depth--
    open.pop()
  })
  parser.on('text', addText)
  parser.on('cdata', addText)
  return {
    write: (text) => void parser.write(text),
    end: () => {
      parser.close()
      return root ?? refuse(`the root element ${rootName} is missing`)
    },
  }
}

function decodeUtf8(body: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body)
  } catch {
    throw malformedXml('the body is not UTF-8')
  }
}

function readAttributes(source: Readonly<Record<string, SaxesAttributeNS>>, refuse: (problem: string) => never): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  for (const name in source) {
    const attribute = source[name]
    if (attribute === undefined || attribute.uri === XMLNS_NAMESPACE) continue
    if (found.has(attribute.local)) refuse(`attribute ${attribute.local} is given twice`)
    found.set(attribute.local, attribute.value)
  }
  return found
}

/**
 * The one child of this name, or undefined.
 * @throws S3Error MalformedXML if there are several
 */
export function onlyChild(parent: XmlElement, name: string): XmlElement | undefined {
  let found: XmlElement | undefined
  for (const child of parent.children) {
    if (child.name !== name) continue
    if (found !== undefined) throw malformedXml(`${parent.name} has more than one ${name}`)
    found = child
  }
  return found
}

/** All children of this name, in their order. */
export function childrenNamed(parent: XmlElement, name: string): readonly XmlElement[] {
  return parent.children.filter((child) => child.name === name)
}

/**
 * The text of an element that holds nothing else, unchanged.
 * @throws S3Error MalformedXML if it has children
 */
export function textOf(leaf: XmlElement): string {
  if (leaf.children.length > 0) throw malformedXml(`${leaf.name} holds elements instead of text`)
  return leaf.text
}

/**
 * The text of the one child of this name, unchanged; undefined if there is none.
 * @throws S3Error MalformedXML if there are several, or if it has children
 */
export function childText(parent: XmlElement, name: string): string | undefined {
  const child = onlyChild(parent, name)
  return child === undefined ? undefined : textOf(child)
}

/**
 * The decimal integer in the one child of this name; undefined if there is none. White space around it is ignored.
 * @throws S3Error MalformedXML for anything but digits without leading zeros, or outside `min` to `max`
 */
export function childInteger(parent: XmlElement, name: string, min: number, max: number): number | undefined {
  const text = childText(parent, name)?.trim()
  if (text === undefined) return undefined
  const value = DECIMAL_INTEGER.test(text) ? Number(text) : Number.NaN
  if (value >= min && value <= max) return value
  throw malformedXml(`${name} is not an integer from ${min} to ${max}`)
}

const DECIMAL_INTEGER = /^(?:0|-?[1-9][0-9]{0,14})$/

/**
 * `true` or `false` in the one child of this name; undefined if there is none. White space around it is ignored.
 * @throws S3Error MalformedXML for anything else
 */
export function childBoolean(parent: XmlElement, name: string): boolean | undefined {
  const text = childText(parent, name)?.trim()
  if (text === undefined) return undefined
  if (text === 'true') return true
  if (text === 'false') return false
  throw malformedXml(`${name} is neither true nor false`)
}

/**
 * Insists that an element holds only elements of these names, and no text: what we do not know is refused, never silently ignored.
 * @throws S3Error MalformedXML that names the first stranger
 */
export function refuseUnknown(parent: XmlElement, names: readonly string[]): void {
  for (const child of parent.children) {
    if (!names.includes(child.name)) throw malformedXml(`${parent.name} cannot hold ${child.name}`)
  }
  if (parent.text.trim() !== '') throw malformedXml(`${parent.name} cannot hold text`)
}
