// What lives here: how users declare line formats of their own in mendflow.config.ts.
// Invariant: a declaration is kept as it was written; what is wrong with it is told by whoever reads all of them (read-own.ts).
// Apart because every command reads the project, and none of this may load what reads lines.

/** What a declared format may say besides its shape. */
export interface OwnOptions {
  /** Time patterns in the letters of strftime: `%d.%m.%Y %H:%M:%S,%f`. The first that fits is taken. Left out, the usual forms are known. */
  readonly time?: string | readonly string[];
  /** Offset of timestamps that state no zone: `Z` or `+02:00`. Default `Z`. */
  readonly zone?: string;
  /**
   * What a severity as it is written is stored as: `{ W: 'WARN', '3': 'ERROR' }`. The usual words are known without it; others are kept as
   * they are written, and counted. For an access log: by the status or its first digit, `{ '404': 'INFO' }`.
   */
  readonly severities?: Readonly<Record<string, string>>;
  /** The severity of records that state none. Default: `-`, and counted. */
  readonly severity?: string;
  /** The module of records that state none. Default: the name of the format. */
  readonly module?: string;
  /**
   * Lines that do not match: `all` continue the record before them, those of the trace of an error do (`trace`), or none does and
   * each is a bad record (`none`, the default).
   */
  readonly continued?: 'all' | 'trace' | 'none';
}

/** A format by an RE2 pattern over the whole line, with the groups `time` and `message`, and `severity` and `module` if there are. */
export interface OwnPattern extends OwnOptions {
  /** Other groups become attributes: `(?P<time>\S+) (?P<user>\w+) (?P<message>.*)`. */
  readonly pattern: string;
}

/** A format by the string that a web server writes it by. */
export interface OwnAccess extends OwnOptions {
  readonly access: string;
}

export type OwnFormat = OwnPattern | OwnAccess;

/** Line formats of a project by their names, which `--set format=` takes. */
export type OwnFormats = Readonly<Record<string, OwnFormat>>;

/** A line format by an RE2 pattern. */
export const pattern = (declared: OwnPattern): OwnFormat => declared;

/** A line format by Apache's `LogFormat` or nginx' `log_format` string, as the server's configuration has it. */
export const accessFormat = (access: string, options: OwnOptions = {}): OwnFormat => ({ ...options, access });
