// What lives here: how every command ends, as numbers that scripts can rely on and errors that carry them.
// Invariant: one table; `mendflow help exit-codes` prints it and nothing ends with a number that is not in it.
// Apart because a number that is decided in two places means two things.
import { CodedError, isCode } from '../../model/failure.ts';

interface ExitCode {
  readonly number: number;
  /** What a script may conclude. */
  readonly says: string;
}

/** Documented and stable: a number keeps its meaning for ever. */
export const exitCodes = {
  ok: { number: 0, says: 'Done, or already as wanted.' },
  failed: {
    number: 1,
    says: 'The run failed, or the command could not do what was asked. The message says what became of the data.',
  },
  usage: {
    number: 2,
    says: 'The command line, an input or the configuration is wrong, or no stack runs here. Nothing was changed.',
  },
  asks: {
    number: 3,
    says: 'The run asks an operator and waits. `mendflow show <run>` has the question and the ready commands.',
  },
  refused: {
    number: 4,
    says: 'Refused with a reason: a decision that does not fit, or a run that is under way with other inputs. Nothing was changed.',
  },
  unconfirmed: {
    number: 5,
    says: 'Not confirmed within the deadline; it may still be applied. Repeat the same command to learn the outcome.',
  },
  notFound: { number: 6, says: 'No such run, pipeline, stage or letter.' },
  aborted: {
    number: 7,
    says: 'The run was aborted by an operator. Committed data stays; the rest is given up unread.',
  },
  unreachable: { number: 8, says: 'Temporal or the database does not answer. Nothing was changed.' },
  faults: {
    number: 9,
    says: '`mendflow check` found what would break: in the code of this folder, or in runs under way. Nothing was changed.',
  },
  interrupted: { number: 130, says: 'Ended by Ctrl-C. A run that was waited for goes on by itself.' },
} as const satisfies Record<string, ExitCode>;

export type Exit = keyof typeof exitCodes;

/** An error for people: its message is the whole story, and its exit says which number ends the process. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exit: Exit;
  constructor(exit: Exit, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.exit = exit;
  }
}

const unreachable = /^(net_|dns_|pg_(unreachable|connection_lost|starting|timeout|pool_spent|resources)$)/;

/** Which number an error ends with. Failures of configuration are usage; what time heals is unreachable. */
export function exitOf(error: unknown): Exit {
  if (error instanceof CommandError) return error.exit;
  if (!(error instanceof CodedError) || !isCode(error.failure.code)) return 'failed';
  if (unreachable.test(error.failure.code)) return 'unreachable';
  return error.failure.fault === 'config' ? 'usage' : 'failed';
}
