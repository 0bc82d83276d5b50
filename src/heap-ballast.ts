/**
 * What V8 takes for the size of the heap decides how much may be allocated until it marks all of it anew. Ours is small, and the bytes of bodies that
 * pass by count against it: a large upload had it marked again and again, which took a fifth of its CPU. Numbers that nobody reads make the heap
 * large enough; nothing points out of them, so that marking them costs nothing. More of them is not better: what is collected later is memory that
 * the next body has to have anew, and each new page costs more than marking does.
 */
const MIB_HELD = 4
const NUMBERS_IN_MIB = (1024 * 1024) / Float64Array.BYTES_PER_ELEMENT

const held: (readonly number[])[] = []

/** For a process that serves: a millisecond or two in each of the next turns of the event loop. */
export function holdHeap(): void {
  if (held.length >= MIB_HELD) return
  held.push(Array.from({ length: NUMBERS_IN_MIB }, () => 0.5))
  setImmediate(holdHeap)
}
