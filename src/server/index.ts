/** The composition: starts the server, or checks what a start would do. */

export { checkStart, type StartCheck } from './check.ts';
export { hardenProcess } from './hardening.ts';
export { type BackupReport, checkBackup, type RestoreReport, restoreBackup } from './restore.ts';
export { startServer } from './server.ts';
export { Supervisor } from './supervisor.ts';
