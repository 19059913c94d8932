// What lives here: the ways in which the code of a stage lets an error fall.
// Invariant: each error quotes the canary, once as a line that looks like a frame.
// Apart from the project because a test names the ways one by one.
import { EventEmitter } from 'node:events';
import { readFile } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export const CANARY = 'kanarienvogel';

const error = (): Error =>
  new TypeError(`${CANARY} of a record\n    at ${CANARY} (file:///srv/${CANARY}.ts:1:1)\n    at /${CANARY}/x.js:2:2`);
const fallIn = (): never => {
  throw error();
};

/** Errors of these are heard of while the stage waits, and are its own. */
export const strays: Readonly<Record<string, () => void>> = {
  rejection: () => void Promise.reject(error()),
  'async function': () => void sleep(5).then(fallIn),
  constructor: () => void new Promise((_resolve, reject) => setTimeout(() => reject(error()), 5)),
  'rejected with a text': () => void Promise.reject(CANARY as unknown as Error),
  'rejected with nothing': () => void Promise.reject(undefined as unknown as Error),
  'rejected with what cannot be read': () =>
    void Promise.reject(
      Object.defineProperty({}, 'message', {
        get: () => {
          throw error();
        },
      }) as Error,
    ),
  timer: () => void setTimeout(fallIn, 5),
  immediate: () => void setImmediate(fallIn),
  'next tick': () => process.nextTick(fallIn),
  interval: () => {
    const timer = setInterval(() => {
      clearInterval(timer);
      fallIn();
    }, 5);
  },
  emitter: () => void setTimeout(() => new EventEmitter().emit('error', error()), 5),
  'callback of a file': () => readFile('/dev/null', fallIn),
  socket: () => void connect({ host: '127.0.0.1', port: 1 }),
};

/** Thrown by the stage itself, with the canary wherever an error can hold a text. */
export const thrown: Readonly<Record<string, () => never>> = {
  'a name': () => {
    throw Object.assign(error(), { name: CANARY });
  },
  'a system call': () => {
    throw Object.assign(error(), { code: 'EIO', syscall: CANARY });
  },
  'a code of a known family': () => {
    throw Object.assign(error(), { code: `HPE_${CANARY.toUpperCase()}` });
  },
  'an unknown code': () => {
    throw Object.assign(error(), { code: CANARY, errno: CANARY, path: CANARY, address: CANARY, hostname: CANARY });
  },
  'causes and parts': () => {
    throw new AggregateError([error(), CANARY], CANARY, { cause: Object.assign(error(), { name: CANARY }) });
  },
  'a text': () => {
    // oxlint-disable-next-line typescript/only-throw-error -- people do
    throw CANARY;
  },
  'a refused record': () => {
    throw Object.assign(error(), { code: '22P02', detail: CANARY, where: CANARY, table: CANARY, column: CANARY });
  },
  'a warning before': () => {
    process.emitWarning(`${CANARY} is old`, { type: CANARY, code: CANARY, detail: CANARY });
    process.emitWarning(CANARY, 'DeprecationWarning', 'DEP0001');
    throw error();
  },
};

/** Heard of when the stage is over. */
export const late = (): void => void setTimeout(() => void Promise.reject(error()), 300);

/** What Node tells without saying whose it is. */
export const nobodys = (): void => queueMicrotask(fallIn);

/** Keeps the whole process busy for ever. */
export const endless = (): never => {
  for (let turn = 0; ; turn++) if (turn < 0) throw error();
};
