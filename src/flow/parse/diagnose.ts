// What lives here: everything that is wrong with a line that the tokeniser refused.
// Invariant: at least one violation, each named by field and code; after a fault the line is read on as far as it can be.
// Apart because it may be slow: it runs for bad lines only, and it must never decide whether a line is bad.
import type { Violation } from '../types.ts';
import type { Cursor, GrammarFormat } from './format.ts';
import type { Grammar, GrammarStep } from './grammar.ts';
import { timeShape } from './time.ts';

/** How much of a value a message quotes, in characters. */
const QUOTED_MAX = 60;

/** A value as a message quotes it: cut, and in JSON's quotes so that what cannot be seen can be read. */
export const quote = (text: string): string =>
  JSON.stringify(text.length > QUOTED_MAX ? `${text.slice(0, QUOTED_MAX)}…` : text);

interface Place {
  readonly cursor: Cursor;
  /** Text between two positions of the line. */
  text(from: number, to: number): string;
  /** Where a literal stands at or behind a position of the line, or -1. */
  find(literal: string, from: number): number;
}

/** What one refused piece tells: its violation and where reading goes on; no position = the rest of the line is lost. */
interface Fault {
  readonly violation: Violation;
  readonly next?: number;
}

const placeOf = (cursor: Cursor): Place => ({
  cursor,
  text: (from, to) => cursor.bytes.toString('utf8', from, to),
  find: (literal, from) => {
    const at = cursor.bytes.subarray(0, cursor.end).indexOf(literal, from);
    return at;
  },
});

function timeFault(place: Place, layout: 'iso' | 'clf', start: number, literal: string): Fault {
  const { cursor } = place;
  const shape = timeShape[layout];
  shape.lastIndex = 0;
  const match = shape.exec(cursor.bytes.toString('latin1', start, Math.min(cursor.end, start + 64)));
  if (match !== null) {
    const message = `${quote(match[0])} is no point in time.`;
    return { violation: { field: 'timestamp', code: 'timestamp_impossible', message }, next: start + match[0].length };
  }
  const end = place.find(literal, start);
  const found = place.text(start, end < 0 ? cursor.end : end);
  const violation: Violation =
    found === ''
      ? { field: 'timestamp', code: 'timestamp_missing', message: 'There is no timestamp.' }
      : { field: 'timestamp', code: 'timestamp_invalid', message: `${quote(found)} is not a timestamp.` };
  return end < 0 ? { violation } : { violation, next: end };
}

function severityFault(place: Place, severities: readonly string[], start: number, after: string): Fault {
  const end = place.find(after, start);
  const found = place.text(start, end < 0 ? place.cursor.end : end);
  const violation: Violation =
    found === ''
      ? { field: 'severity', code: 'severity_missing', message: 'There is no severity.' }
      : {
          field: 'severity',
          code: 'severity_unknown',
          message: `${quote(found)} is none of ${severities.join(', ')}.`,
        };
  return end < 0 ? { violation } : { violation, next: end + after.length };
}

function textFault(place: Place, field: string, start: number, after: string): Fault {
  const end = place.find(after, start);
  if (end >= 0)
    return {
      violation: { field, code: `${field}_empty`, message: `The ${field} is empty.` },
      next: end + after.length,
    };
  return { violation: { field, code: `${field}_unclosed`, message: `No ${quote(after)} ends the ${field}.` } };
}

function quotedFault(place: Place, field: string, start: number): Fault {
  const opened = place.cursor.bytes[start] === 34 && start < place.cursor.end;
  const violation: Violation = opened
    ? { field, code: `${field}_unclosed`, message: `The quote that opens the ${field} is never closed.` }
    : { field, code: `${field}_missing`, message: `No quote opens the ${field}.` };
  const next = opened ? -1 : place.find(' "', start);
  return next < 0 ? { violation } : { violation, next };
}

function numberFault(place: Place, field: string, start: number, after: string): Fault {
  const at = after === '' ? -1 : place.find(after, start);
  const end = at < 0 ? place.cursor.end : at;
  const found = place.text(start, end);
  if (after !== '' && at < 0 && /^(\d+|-)$/.test(found))
    return { violation: { field: 'line', code: 'line_cut', message: `The line ends with its ${field}.` } };
  const violation: Violation =
    found === ''
      ? { field, code: `${field}_missing`, message: `There is no ${field}.` }
      : { field, code: `${field}_invalid`, message: `${quote(found)} is not a valid ${field}.` };
  return after !== '' && at < 0 ? { violation } : { violation, next: end + after.length };
}

function literalFault(place: Place, literal: string, start: number): Fault {
  const at = place.find(literal, start);
  const violation: Violation = {
    field: 'line',
    code: 'line_shape',
    message: `Expected ${quote(literal)}, found ${quote(place.text(start, Math.min(place.cursor.end, start + 20)))}.`,
  };
  return at < 0 ? { violation } : { violation, next: at + literal.length };
}

/** The severities as they are stored: of many spellings, a person needs to know the words. */
const wordsOf = ({ severities, stored }: GrammarFormat): string[] => [
  ...new Set(severities.map((word) => stored?.[word] ?? word)),
];

function faultOf(
  place: Place,
  format: GrammarFormat,
  index: number,
  steps: readonly GrammarStep[],
  start: number,
): Fault {
  const { piece, after } = steps[index]!;
  if (piece === undefined) return literalFault(place, after, start);
  if ('time' in piece) return timeFault(place, piece.time, start, steps[index + 1]?.after ?? ' ');
  if ('severity' in piece) return severityFault(place, wordsOf(format), start, after);
  if ('text' in piece) return textFault(place, piece.text, start, after);
  if ('quoted' in piece) return quotedFault(place, piece.quoted, start);
  if ('number' in piece) return numberFault(place, piece.number, start, after);
  const field = piece.last?.text ?? piece.rest;
  return { violation: { field, code: `${field}_missing`, message: `The line does not end with a ${field}.` } };
}

const fieldOf = ({ piece }: GrammarStep): string | undefined => {
  if (piece === undefined || 'rest' in piece) return piece?.last?.text;
  if ('time' in piece) return 'timestamp';
  if ('severity' in piece) return 'severity';
  if ('text' in piece) return piece.text;
  return 'quoted' in piece ? piece.quoted : piece.number;
};

/** All that is wrong with the line at the cursor, in the order of the line. The cursor stands where the line begins. */
export function diagnose(format: GrammarFormat, grammar: Grammar, cursor: Cursor): Violation[] {
  const { steps } = grammar;
  const place = placeOf(cursor);
  const violations: Violation[] = [];
  for (let index = 0; index < steps.length; index++) {
    const start = cursor.pos;
    if (steps[index]!.step(cursor)) continue;
    cursor.pos = start;
    const { violation, next } = faultOf(place, format, index, steps, start);
    violations.push(violation);
    if (next === undefined) {
      // The rest cannot be told apart any more: what had to follow is named as missing, as far as it has a name.
      for (const step of steps.slice(index + 1)) {
        const field = fieldOf(step);
        if (field !== undefined && field !== violation.field)
          violations.push({ field, code: `${field}_missing`, message: `There is no ${field}.` });
      }
      return violations;
    }
    cursor.pos = next;
  }
  if (cursor.pos < cursor.end || violations.length === 0) {
    const message = `${cursor.end - cursor.pos} bytes stand behind the end of the line as it is declared.`;
    violations.push({ field: 'line', code: 'line_trailing', message });
  }
  return violations;
}
