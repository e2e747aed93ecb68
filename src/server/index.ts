/** The composition: starts a server or an agent, or checks what a start would do. */

export { startAgent } from './agent-run.ts';
export { checkStart, type StartCheck } from './check.ts';
export { hardenProcess } from './hardening.ts';
export { type BackupReport, checkBackup, type RestoreReport, restoreBackup } from './restore.ts';
export { startServer } from './server.ts';
export { Supervisor } from './supervisor.ts';
