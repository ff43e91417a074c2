import { NightshiftError } from '@nightshift/engine';

/** A wrong argument on the command line: exit code 2. */
export class UsageError extends NightshiftError {
  constructor(message: string) {
    super('usage', message);
  }
}
