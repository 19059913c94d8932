// What lives here: the words that severities are stored as, and what loggers of all kinds write for them.
// Invariant: a word or a number that is not certain is not here: it is kept as it is written and counted, never guessed.
// Apart because every format but syslog, which has eight words of its own, stores these.

/** As stored, in order. */
export const severityWords = [
  'TRACE',
  'DEBUG',
  'INFO',
  'NOTICE',
  'WARN',
  'ERROR',
  'CRITICAL',
  'ALERT',
  'EMERGENCY',
  'FATAL',
  'PANIC',
] as const;
export type SeverityWord = (typeof severityWords)[number];

/** Stored for a record that states none. */
export const SEVERITY_NONE = '-';

/** Spellings of each, in lower case: log4j, java.util.logging, Python, .NET, serilog, zap, logrus, winston, npm, Android, glog, Postgres, MongoDB. */
const spellings: Readonly<Record<SeverityWord, string>> = {
  TRACE: 'trace trc tra finest finer silly verbose vrb v t',
  DEBUG: 'debug dbg debu deb fine config http debug1 debug2 debug3 debug4 debug5 d1 d2 d3 d4 d5 d',
  INFO: 'info information informational inf log success i',
  NOTICE: 'notice note ntc n',
  WARN: 'warn warning wrn wng w',
  ERROR: 'error err eror erro severe failure fail e',
  CRITICAL: 'critical crit crt criti c',
  ALERT: 'alert alrt',
  EMERGENCY: 'emergency emerg emrg',
  FATAL: 'fatal ftl fata f',
  PANIC: 'panic dpanic pnc',
};
const bySpelling = new Map<string, SeverityWord>(
  severityWords.flatMap((word) => spellings[word].split(' ').map((spelling) => [spelling, word] as const)),
);

/** The stored word for what a logger wrote, in any case; slog's distances (`INFO+2`) fall to their word. Undefined if it is none that is known. */
export const severityOfWord = (text: string): SeverityWord | undefined =>
  bySpelling.get(
    text
      .trim()
      .toLowerCase()
      .replace(/[+-]\d{1,3}$/, ''),
  );

/** All spellings that a byte format looks for, upper and lower case and capitalised, with the stored word of each. */
export const severitySpellings = (): ReadonlyMap<string, SeverityWord> =>
  new Map(
    [...bySpelling].flatMap(([spelling, word]) =>
      [spelling.toUpperCase(), spelling, spelling[0]!.toUpperCase() + spelling.slice(1)].map(
        (each) => [each, word] as const,
      ),
    ),
  );

/** Whose numbers they are. */
export type NumberFamily = 'syslog' | 'pino' | 'python' | 'otel' | 'log4j' | 'monolog' | 'azure';

const steps = (text: string, first: number, step: number): Map<number, SeverityWord> =>
  new Map(text.split(' ').map((word, index) => [first + index * step, word as SeverityWord]));

const families: Readonly<Record<NumberFamily, ReadonlyMap<number, SeverityWord>>> = {
  syslog: steps('EMERGENCY ALERT CRITICAL ERROR WARN NOTICE INFO DEBUG', 0, 1),
  pino: steps('TRACE DEBUG INFO WARN ERROR FATAL', 10, 10),
  python: steps('DEBUG INFO WARN ERROR CRITICAL', 10, 10),
  otel: new Map(
    Array.from({ length: 24 }, (_, index) => [
      index + 1,
      (['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'] as const)[index >> 2]!,
    ]),
  ),
  log4j: new Map<number, SeverityWord>([[5000, 'TRACE'], ...steps('DEBUG INFO WARN ERROR FATAL', 10_000, 10_000)]),
  monolog: new Map<number, SeverityWord>([
    ...steps('DEBUG INFO WARN ERROR CRITICAL EMERGENCY', 100, 100),
    [250, 'NOTICE'],
    [550, 'ALERT'],
  ]),
  azure: steps('TRACE INFO WARN ERROR CRITICAL', 0, 1),
};

/** The stored word for a number of a family; undefined if it has no such number. */
export const severityOfNumber = (text: string, family: NumberFamily): SeverityWord | undefined =>
  /^\d{1,5}$/.test(text) ? families[family].get(Number(text)) : undefined;
