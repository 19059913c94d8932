// What lives here: the text that a value was read from, for values that came with a JSON document.
// Invariant: what is given as a value's text reads as that value; one that was changed since, or is none of a document's records, has none.
// Apart from reading, because only a letter needs it: evidence is what the source wrote, not what we would write.
import { endOfString, isExactNumber, readJson, writeJson } from './exact-json.ts';

interface Place {
  readonly document: { readonly text: string; ranges?: readonly Range[] };
  readonly nth: number;
}
interface Range {
  readonly from: number;
  to: number;
}

const places = new WeakMap<object, Place>();

/** Reads JSON as `readJson` does, and remembers of each record where it stands: the elements of the outermost arrays, and what holds them. */
export function readDocument(text: string): unknown {
  const value = readJson(text);
  const document = { text };
  let nth = 0;
  const visit = (one: unknown, isElement: boolean): void => {
    if (typeof one !== 'object' || one === null || isExactNumber(one)) return;
    places.set(one, { document, nth: nth++ });
    if (isElement) return;
    const within = Array.isArray(one);
    for (const member of Object.values(one)) visit(member, within);
  };
  visit(value, false);
  return value;
}

/** The text of a record as its document has it, on one line: a line break between two of its parts is a blank. */
export function sourceOf(value: unknown): string | undefined {
  const place = typeof value === 'object' && value !== null ? places.get(value) : undefined;
  if (place === undefined) return undefined;
  const { document, nth } = place;
  const range = (document.ranges ??= rangesOf(document.text))[nth];
  if (range === undefined) return undefined;
  const text = document.text.slice(range.from, range.to).replaceAll(/[\r\n]/g, ' ');
  // Equal keys and keys like numbers stand elsewhere in the text than in the value, and its owner may have changed it.
  return writeJson(readJson(text)) === writeJson(value) ? text : undefined;
}

const isOpening = (code: number): boolean => code === 123 || code === 91;
const isClosing = (code: number): boolean => code === 125 || code === 93;
const QUOTE = 34;
const ARRAY = 91;

/** Where the records stand, in the order in which `readDocument` meets them. */
function rangesOf(text: string): readonly Range[] {
  const ranges: Range[] = [];
  const open: { readonly range: Range; readonly isArray: boolean }[] = [];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at);
    else if (isOpening(code)) {
      const range = { from: at, to: at };
      ranges.push(range);
      if (open.at(-1)?.isArray === true) {
        at = endOfContainer(text, at);
        range.to = at + 1;
      } else open.push({ range, isArray: code === ARRAY });
    } else if (isClosing(code)) open.pop()!.range.to = at + 1;
  }
  return ranges;
}

function endOfContainer(text: string, from: number): number {
  let depth = 0;
  for (let at = from; ; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at);
    else if (isOpening(code)) depth++;
    else if (isClosing(code) && --depth === 0) return at;
  }
}
