// What lives here: the search attributes runs carry, and making sure that the cluster knows them.
// Invariant: a worker never polls a cluster that lacks one, because every run would then stall silently in its first task.
// Apart because it is the only thing Mendflow changes on a Temporal cluster.
import type { Connection } from '@temporalio/client';
import type { temporal } from '@temporalio/proto';
import { CodedError } from '../model/failure.ts';

type ValueType = temporal.api.enums.v1.IndexedValueType;

/** By their numbers in Temporal's protocol, which never change; the package that names them takes longer to load than a whole command. */
const words = ['', 'Text', 'Keyword', 'Int', 'Double', 'Bool', 'Datetime', 'KeywordList'] as const;
// oxlint-disable-next-line typescript/no-unsafe-enum-assignment -- the names are those of the enum, at its numbers
const typeOf = (word: (typeof words)[number]): ValueType => words.indexOf(word) as ValueType;

/** DataDate is a Keyword: a Datetime at midnight UTC reads as the day before in western browsers. */
export const searchAttributes: Readonly<Record<string, ValueType>> = {
  PipelineName: typeOf('Keyword'),
  PipelineHealth: typeOf('Keyword'),
  FailureClass: typeOf('Keyword'),
  Upstream: typeOf('KeywordList'),
  DataDate: typeOf('Keyword'),
  DataSource: typeOf('Keyword'),
  DeadLetters: typeOf('Int'),
};

/** `Keyword`, `KeywordList`, `Int`: as flags and commands of the CLI write it. */
export const typeWord = (type: ValueType | null | undefined): string => words[type ?? 0] ?? '';

/** Adds what is missing. Throws `config_invalid` with the command to type where it may not, or where a type is wrong. */
export async function reconcileSearchAttributes(connection: Connection, namespace: string): Promise<readonly string[]> {
  const listed = await connection.operatorService.listSearchAttributes({ namespace });
  const known = { ...listed.customAttributes, ...listed.systemAttributes };
  const wrong = Object.entries(searchAttributes).filter(
    ([name, type]) => known[name] !== undefined && known[name] !== type,
  );
  if (wrong.length > 0)
    throw new CodedError(
      'config_invalid',
      `The cluster has search attributes of another type: ${wrong.map(([name, type]) => `${name} is ${typeWord(known[name])}, has to be ${typeWord(type)}`).join('; ')}. ` +
        'No run was started. Give Mendflow a namespace of its own: temporal operator namespace create --namespace mendflow && export TEMPORAL_NAMESPACE=mendflow',
    );
  const missing = Object.fromEntries(Object.entries(searchAttributes).filter(([name]) => known[name] === undefined));
  const names = Object.keys(missing);
  if (names.length === 0) return [];
  try {
    await connection.operatorService.addSearchAttributes({ namespace, searchAttributes: missing });
  } catch (error) {
    throw new CodedError(
      'config_invalid',
      `The cluster lacks search attributes and does not let this worker add them. No run was started. Type: ${names
        .map(
          (name) =>
            `temporal operator search-attribute create --namespace ${namespace} --name ${name} --type ${typeWord(missing[name])}`,
        )
        .join(' && ')}`,
      { cause: error },
    );
  }
  return names;
}
