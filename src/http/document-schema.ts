/**
 * What a bucket's document may hold, as a table: it is read element by element, anything that the table does not know is refused, and what
 * comes out is canonical: the elements in the table's order, ready to be stored as JSON and to be written as XML again.
 */
import type { ServiceCall } from './call.ts'
import { childrenNamed, malformedXml, refuseUnknown, textOf, type XmlChildren, type XmlElement } from './xml.ts'

type Leaf = string | number | boolean | XmlChildren

/** Reads one element. @throws {S3Error} MalformedXML, and whatever else a shape of its own wants to say */
export type Shape = (element: XmlElement, call: ServiceCall) => Leaf

export interface Field {
  readonly shape: Shape
  readonly min: number
  readonly max: number
}

export type Fields = Readonly<Record<string, Field>>

export const optional = (shape: Shape): Field => ({ shape, min: 0, max: 1 })
export const required = (shape: Shape): Field => ({ shape, min: 1, max: 1 })
export const many = (shape: Shape, min: number, max: number): Field => ({ shape, min, max })

/** Text as it stands, up to so many UTF-16 code units. */
export function text(maxLength = 1024, pattern = /^[^]*$/): Shape {
  return (element) => {
    const value = textOf(element)
    if (value.length > maxLength) throw malformedXml(`${element.name} is longer than ${maxLength} characters`)
    if (!pattern.test(value)) throw malformedXml(`${element.name} has a value that it cannot have`)
    return value
  }
}

export function oneOf(...values: readonly string[]): Shape {
  return (element) => {
    const value = textOf(element).trim()
    if (!values.includes(value)) throw malformedXml(`${element.name} is none of ${values.join(', ')}`)
    return value
  }
}

export function integer(min: number, max: number): Shape {
  return (element) => {
    const value = textOf(element).trim()
    if (/^(?:0|[1-9]\d{0,9})$/.test(value) && Number(value) >= min && Number(value) <= max) return Number(value)
    throw malformedXml(`${element.name} is not an integer from ${min} to ${max}`)
  }
}

/** AWS's own examples write TRUE, its SDKs true. */
export const flag: Shape = (element) => {
  const value = textOf(element).trim().toLowerCase()
  if (value !== 'true' && value !== 'false') throw malformedXml(`${element.name} is neither true nor false`)
  return value === 'true'
}

/** Elements by name, each as often as its field says. */
export function group(fields: Fields): (element: XmlElement, call: ServiceCall) => XmlChildren {
  const names = Object.keys(fields)
  return (element, call) => {
    refuseUnknown(element, names)
    const read: Record<string, readonly Leaf[] | Leaf> = {}
    for (const name in fields) {
      const { shape, min, max } = fields[name] as Field
      const found = childrenNamed(element, name)
      if (found.length < min) throw malformedXml(`${element.name} has no ${name}`)
      if (found.length > max) throw malformedXml(`${element.name} has more than ${max} ${name}`)
      if (found.length === 0) continue
      read[name] = max === 1 ? shape(found[0] as XmlElement, call) : found.map((each) => shape(each, call))
    }
    return read
  }
}

/** A group of which one element at most can be there. */
export function choice(fields: Fields): Shape {
  const read = group(fields)
  return (element, call) => {
    if (element.children.length > 1) throw malformedXml(`${element.name} holds one element only`)
    return read(element, call)
  }
}
