/** The XML writer and reader: exact bytes out, and every malformed, oversized or hostile document refused. Long because each document is one story. */
import test from 'ava'
import * as fc from 'fast-check'
import { S3Error } from '../../src/domain/s3-error.ts'
import {
  childBoolean,
  childInteger,
  childrenNamed,
  childText,
  onlyChild,
  parseXml,
  refuseUnknown,
  S3_NAMESPACE,
  textOf,
  type XmlElement,
  xmlDocument,
} from '../../src/http/xml.ts'

const HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'

function parse(text: string, root = 'A'): XmlElement {
  return parseXml(Buffer.from(text), root)
}

/** The message of the refusal, or what went wrong instead. */
function refusal(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof S3Error) return `${error.code} ${error.message}`
    throw error
  }
  return 'accepted'
}

test('a document is written with its namespace, scalars, nesting and repeated elements, and without what is undefined', (t) => {
  const text = xmlDocument(
    'ListBucketResult',
    {
      Name: 'b',
      MaxKeys: 1000,
      IsTruncated: false,
      Marker: '',
      NextMarker: undefined,
      Contents: [{ Key: 'a', Owner: { ID: 'x' } }, { Key: 'b' }],
      Tag: ['x', 'y'],
      None: [],
    },
    S3_NAMESPACE,
  )
  t.is(
    text,
    `${HEAD}<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated><Marker/>` +
      '<Contents><Key>a</Key><Owner><ID>x</ID></Owner></Contents><Contents><Key>b</Key></Contents><Tag>x</Tag><Tag>y</Tag></ListBucketResult>',
  )
})

test('a document without namespace, attributes, an empty root and alternating elements are written', (t) => {
  t.is(xmlDocument('Error', {}), `${HEAD}<Error/>`)
  t.is(xmlDocument('R', [{ A: 1 }, { B: 2 }, { A: 3 }]), `${HEAD}<R><A>1</A><B>2</B><A>3</A></R>`)
  t.is(
    xmlDocument('R', { Grantee: { '@xmlns:xsi': 'urn:x', '@xsi:type': 'Canon"ical\n', '@none': undefined, ID: 'i' }, E: { '@a': 1 } }),
    `${HEAD}<R><Grantee xmlns:xsi="urn:x" xsi:type="Canon&quot;ical&#10;"><ID>i</ID></Grantee><E a="1"/></R>`,
  )
})

test('text that XML 1.0 cannot carry becomes U+FFFD, everything else is escaped as little as it needs', (t) => {
  const rows: readonly (readonly [value: string, written: string])[] = [
    ['a&b<c>d"e\'f', "a&amp;b&lt;c&gt;d&quot;e'f"],
    [']]>', ']]&gt;'],
    ['\r\n', '&#13;\n'],
    ['a\tb', 'a\tb'],
    ['\u0001\u0008\u000b\u000c\u001f\0', '\ufffd'.repeat(6)],
    ['\ufffe\uffff', '\ufffd\ufffd'],
    ['\ud800x\udc00', '\ufffdx\ufffd'],
    ['\u{1f600}\u{1ffff}', '\u{1f600}\u{1ffff}'],
    ['\u007f\u0085\u2028\ufeff\ud7ff\ue000', '\u007f\u0085\u2028\ufeff\ud7ff\ue000'],
  ]
  for (const [value, written] of rows) t.is(xmlDocument('R', { V: value }), `${HEAD}<R><V>${written}</V></R>`)
})

test('any text survives writing and reading, but for what XML 1.0 cannot carry', (t) => {
  const anyText = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom('\r', '\n', '\t', ' ', '<', '>', '&', '"', ']', "'", '\u0001', '\ufffe', '\ud800', '\u{1f600}') }),
  )
  fc.assert(
    fc.property(anyText, (value) => {
      const root = parse(xmlDocument('A', { '@x': '', V: { '@a': value, T: value } }))
      const carried = value.replace(/[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
      const found = onlyChild(root, 'V')
      return found !== undefined && childText(found, 'T') === carried && found.attributes.get('a') === carried
    }),
    { numRuns: 2000 },
  )
  t.pass()
})

test('a document is read with and without namespace, prefix, declaration, byte order mark and comments', (t) => {
  for (const text of [
    '<A><B>x</B></A>',
    `<A xmlns="${S3_NAMESPACE}"><B>x</B></A>`,
    `<s3:A xmlns:s3="${S3_NAMESPACE}"><s3:B>x</s3:B></s3:A>`,
    '<?xml version="1.0"?><A><B>x</B></A>',
    '<?xml version="1.0" encoding="utf-8" standalone="yes"?>\n<!-- c --><A><B>x</B></A>\n',
    '\ufeff<A><B>x</B></A>',
    '<A><B><!-- c -->x</B></A>',
    '<A><B><![CDATA[x]]></B></A>',
    '<A><B>&#120;</B></A>',
    '<A>\n  <B>x</B>\n</A>',
  ]) {
    t.is(childText(parse(text), 'B'), 'x', text)
    t.is(parse(text).attributes.size, 0, text)
  }
})

test('text is read unchanged: white space, entities, CDATA and line ends as XML 1.0 defines them', (t) => {
  t.is(parse('<A> a&lt;&amp;&#13;&#x1F600;<![CDATA[<&>]]><!-- - -->b\r\nc </A>').text, ' a<&\r\u{1f600}<&>b\nc ')
})

test('names from the client are data, whatever they are', (t) => {
  const root = parse('<A><__proto__>1</__proto__><constructor>2</constructor><B __proto__="3" constructor="4"/></A>')
  t.is(childText(root, '__proto__'), '1')
  t.is(childText(root, 'toString'), undefined)
  t.deepEqual(
    [...(onlyChild(root, 'B')?.attributes ?? [])],
    [
      ['__proto__', '3'],
      ['constructor', '4'],
    ],
  )
  t.is(({} as Record<string, unknown>)['x'], undefined)
})

const NESTED = (levels: number): string => `${'<A>'.repeat(levels)}${'</A>'.repeat(levels)}`

const MALFORMED: readonly (readonly [what: string, body: string | Uint8Array, message: RegExp])[] = [
  ['nothing', '', /1:0: /],
  ['white space only', '  \n', /./],
  ['no XML', 'hello', /./],
  ['JSON', '{"A":1}', /./],
  ['a truncated tag', '<A', /./],
  ['a truncated document', '<A><B>', /unclosed tag/],
  ['two roots', '<A/><A/>', /./],
  ['text behind the root', '<A/>x', /./],
  ['another root', '<B/>', /1:4: the root element is not A/],
  ['tags that cross', '<A><B></A></B>', /./],
  ['a duplicate attribute', '<A x="1" x="2"/>', /./],
  ['an attribute without quotes', '<A x=1/>', /./],
  ['attributes of the same local name', '<A xmlns:p="urn:p" xmlns:q="urn:q" p:x="1" q:x="2"/>', /attribute x is given twice/],
  ['an external entity', '<!DOCTYPE A [<!ENTITY x SYSTEM "file:///etc/passwd">]><A>&x;</A>', /DOCTYPE/],
  ['a DOCTYPE alone', '<!DOCTYPE A><A/>', /DOCTYPE/],
  ['a parameter entity', '<!DOCTYPE A [<!ENTITY % x "y"> %x;]><A/>', /DOCTYPE/],
  ['an undefined entity', '<A>&foo;</A>', /./],
  ['a processing instruction', '<A><?php x?></A>', /processing instructions/],
  ['a processing instruction in front', '<?xml-stylesheet href="x"?><A/>', /processing instructions/],
  ['XML 1.1', '<?xml version="1.1"?><A>&#1;</A>', /only XML 1.0/],
  ['another encoding', '<?xml version="1.0" encoding="utf-7"?><A/>', /only the encoding UTF-8/],
  ['the encoding latin-1', '<?xml version="1.0" encoding="ISO-8859-1"?><A/>', /only the encoding UTF-8/],
  ['another namespace', '<A xmlns="http://example.com/"/>', /1:32: element A is in an unknown namespace/],
  ['another namespace inside', `<A xmlns="${S3_NAMESPACE}"><B xmlns="urn:b"/></A>`, /element B is in an unknown namespace/],
  ['a prefix that is bound to another namespace', '<p:A xmlns:p="urn:p"/>', /unknown namespace/],
  ['a prefix that is not bound', '<p:A/>', /unbound/],
  ['the reference &#0;', '<A>&#0;</A>', /./],
  ['a reference to a surrogate', '<A>&#xD800;</A>', /./],
  ['a reference to a control character', '<A>&#x1F;</A>', /./],
  ['a control character', '<A>\u0001</A>', /./],
  ['a NUL', '<A>\0</A>', /./],
  ['U+FFFE', '<A>\ufffe</A>', /./],
  ['the end of a CDATA section in text', '<A>]]></A>', /./],
  ['17 levels', NESTED(17), /nested deeper than 16/],
  ['100,000 levels', NESTED(100_000), /nested deeper than 16/],
  ['100,000 attributes', `<A ${Array.from({ length: 100_000 }, (_, index) => `a${index}=""`).join(' ')}/>`, /more than 16 attributes/],
  ['a million elements', `<A>${'<B/>'.repeat(1_000_000)}</A>`, /more than 50000 elements/],
  ['a name of a megabyte', `<A><${'B'.repeat(1_000_000)}>`, /^.{1,400}$/s],
  ['invalid UTF-8', Buffer.from([0x3c, 0x41, 0x3e, 0xc3, 0x28, 0x3c, 0x2f, 0x41, 0x3e]), /not UTF-8/],
  ['latin-1', Buffer.from('<A>é</A>', 'latin1'), /not UTF-8/],
  ['UTF-16 with a mark', Buffer.from('\ufeff<A/>', 'utf16le'), /not UTF-8/],
  ['UTF-16 without a mark', Buffer.from('<A/>', 'utf16le'), /./],
  ['an encoded surrogate', Buffer.from([0x3c, 0x41, 0x3e, 0xed, 0xa0, 0x80, 0x3c, 0x2f, 0x41, 0x3e]), /not UTF-8/],
]

for (const [what, body, message] of MALFORMED) {
  test(`a document with ${what} is refused as MalformedXML, quickly`, (t) => {
    const startMs = performance.now()
    const found = refusal(() => parseXml(typeof body === 'string' ? Buffer.from(body) : body, 'A'))
    t.regex(found, /^MalformedXML /)
    t.regex(found, message)
    t.true(performance.now() - startMs < 5000)
  })
}

test('a document of 16 levels and of any text is read', (t) => {
  t.is(
    refusal(() => parse(NESTED(16))),
    'accepted',
  )
  const wide = parse(`<A>${'<B/>'.repeat(49_999)}</A>`)
  t.is(wide.children.length, 49_999)
})

test('bytes of any kind are refused or read, and never fail otherwise', (t) => {
  const token = fc.constantFrom(
    '<',
    '>',
    '/',
    'A',
    '&',
    ';',
    '#',
    'x',
    '"',
    '=',
    '!',
    '[',
    ']',
    '-',
    '?',
    ' ',
    'xml',
    'CDATA',
    'DOCTYPE',
    'xmlns',
    ':',
    '\u0001',
    '\u{1f600}',
    '\r',
  )
  fc.assert(
    fc.property(fc.array(token, { maxLength: 30 }), (tokens) => /^accepted$|^MalformedXML /.test(refusal(() => parse(tokens.join(''))))),
    { numRuns: 2000 },
  )
  t.pass()
})

test('children are read strictly: repeated, unknown, nested or mixed ones are refused', (t) => {
  const root = parse('<A><B>1</B><B>2</B><C><D/></C><E> x </E></A>')
  t.regex(
    refusal(() => onlyChild(root, 'B')),
    /A has more than one B/,
  )
  t.regex(
    refusal(() => childText(root, 'B')),
    /A has more than one B/,
  )
  t.deepEqual(childrenNamed(root, 'B').map(textOf), ['1', '2'])
  t.regex(
    refusal(() => childText(root, 'C')),
    /C holds elements instead of text/,
  )
  t.is(childText(root, 'E'), ' x ')
  t.is(onlyChild(root, 'F'), undefined)
  t.is(childText(root, 'F'), undefined)
  t.is(
    refusal(() => refuseUnknown(root, ['B', 'C', 'E', 'F'])),
    'accepted',
  )
  t.regex(
    refusal(() => refuseUnknown(root, ['B', 'C'])),
    /A cannot hold E/,
  )
  t.regex(
    refusal(() => refuseUnknown(parse('<A><B/>junk</A>'), ['B'])),
    /A cannot hold text/,
  )
  t.is(
    refusal(() => refuseUnknown(parse('<A>\n <B/>\n</A>'), ['B'])),
    'accepted',
  )
})

test('integers are decimal digits within their bounds', (t) => {
  const read = (text: string): number | undefined => childInteger(parse(`<A><N>${text}</N></A>`), 'N', 0, 10_000)
  for (const [text, value] of [
    ['0', 0],
    ['1', 1],
    ['10000', 10_000],
    [' 7\n', 7],
  ] as const)
    t.is(read(text), value)
  for (const text of [
    '',
    '-1',
    '10001',
    '01',
    '+1',
    '1.0',
    '1e3',
    '0x1',
    'NaN',
    'Infinity',
    '1e400',
    '١',
    '4294967297',
    '9'.repeat(400),
    '1 2',
    '-0',
  ]) {
    t.regex(
      refusal(() => read(text)),
      /MalformedXML .*N is not an integer from 0 to 10000/,
      text,
    )
  }
  t.is(childInteger(parse('<A><N>-5</N></A>'), 'N', -10, 10), -5)
  t.is(childInteger(parse('<A/>'), 'N', 0, 1), undefined)
})

test('booleans are true and false', (t) => {
  const read = (text: string): boolean | undefined => childBoolean(parse(`<A><N>${text}</N></A>`), 'N')
  t.is(read('true'), true)
  t.is(read(' false '), false)
  for (const text of ['', 'True', 'TRUE', 'yes', '1', '0', 'null'])
    t.regex(
      refusal(() => read(text)),
      /N is neither true nor false/,
      text,
    )
  t.is(childBoolean(parse('<A/>'), 'N'), undefined)
})
