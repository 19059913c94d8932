// What lives here: which format the start of a file has the shape of, for the sentence that asks when the chosen one was wrong.
// Invariant: it only tells; nothing is loaded by it, and it is asked only when a run stops or a whole file is bad.
// Apart because it reads a sample in every format, which no reader of one does.
import { type Format } from './parse/format.ts';
import { cutRange, filled, newCutter, nextChunk, room } from './read/cutter.ts';

/** Records that are looked at, and bytes at most. */
const SAMPLE_RECORDS = 200;
export const SAMPLE_BYTES = 64 * 1024;
/** Share of the sample that has to be good before a format is named. */
const LOOKS_SHARE_MIN = 0.6;

/** Of the first records of a sample: how many are good in a format, and how many would be but for a severity that it does not know. */
interface Found {
  readonly good: number;
  readonly severities: number;
  readonly records: number;
}

function lookAt(format: Format, sample: Uint8Array, dataDay: number): Found {
  const cutter = newCutter({
    format,
    constants: { sourceId: '1', dataDay, generation: 1 },
    recordsMax: SAMPLE_RECORDS,
  });
  cutRange(cutter, 0, sample.length, 1);
  let next = nextChunk(cutter);
  if (next === 'more') {
    room(cutter).set(sample);
    filled(cutter, sample.length);
    next = nextChunk(cutter);
  }
  if (typeof next === 'string') return { good: 0, severities: 0, records: 0 };
  const { rows, rejects } = next;
  const severities = rejects.filter(({ violations }) => violations.every(({ code }) => code === 'severity_unknown'));
  return { good: rows, severities: severities.length, records: rows + rejects.length };
}

/**
 * `No record of the first 200 has the shape of log4j; it looks like syslog.` The last line of the sample may be cut, so it is left out.
 * Empty if most of them have the shape of the chosen format: then its layout is not what is wrong.
 */
export function layoutSentence(
  chosen: Format,
  formats: Readonly<Record<string, Format>>,
  start: Uint8Array,
  dataDay: number,
): string {
  const end = start.length < SAMPLE_BYTES ? start.length : Buffer.from(start).lastIndexOf(10) + 1;
  const sample = start.subarray(0, end);
  const own = lookAt(chosen, sample, dataDay);
  if (own.records === 0 || own.good > own.records * LOOKS_SHARE_MIN) return '';
  // A lax format takes such lines too, with their words in the wrong columns.
  if (own.good + own.severities > own.records * LOOKS_SHARE_MIN)
    return `${own.severities} of the first ${own.records} records have the shape of ${chosen.name} and a severity that it does not know, so another format would load them wrong: correct the severities where they are written, or declare a format of your own that knows them (formats in mendflow.config.ts).`;
  const others = Object.entries(formats)
    .filter(([name]) => name !== chosen.name)
    .map(([name, format]) => ({ name, ...lookAt(format, sample, dataDay) }))
    .filter(({ good, records }) => good > 0 && good >= records * LOOKS_SHARE_MIN)
    .toSorted((one, other) => other.good / other.records - one.good / one.records || other.good - one.good);
  const best = others[0];
  const looks =
    best === undefined
      ? 'it looks like none of the formats there are.'
      : `it looks like ${best.name}. To load it as such: abort this run, then start it with \`--set format=${best.name}\`.`;
  const of = `of the first ${own.records}`;
  const few =
    own.good === 0 ? `No record ${of} has` : own.good === 1 ? `One record ${of} has` : `${own.good} records ${of} have`;
  return `${own.records === 1 ? 'The only record does not have' : few} the shape of ${chosen.name}; ${looks}`;
}
