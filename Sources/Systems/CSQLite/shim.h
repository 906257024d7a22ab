// SQLite as Swift sees it: the library's header, and an inline twin for each macro or variadic call that is not imported.
#pragma once
#include <sqlite3.h>

// Process-wide settings; only before the first connection. No memory statistics: they cost a global lock per allocation.
// Statement journals (what a savepoint needs to undo one closure) stay in memory up to `journal_spill` bytes.
static inline int csqlite_configure(int journal_spill) {
    int result = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    if (result != SQLITE_OK) return result;
    return sqlite3_config(SQLITE_CONFIG_STMTJRNL_SPILL, journal_spill);
}

// Bindings that copy the bytes (SQLITE_TRANSIENT is a cast, which Swift does not import). A null pointer binds as an empty value.
static inline int csqlite_bind_text(sqlite3_stmt *statement, int slot, const void *bytes, sqlite3_uint64 count) {
    return sqlite3_bind_text64(statement, slot, bytes ? (const char *)bytes : "", count, SQLITE_TRANSIENT, SQLITE_UTF8);
}
static inline int csqlite_bind_bytes(sqlite3_stmt *statement, int slot, const void *bytes, sqlite3_uint64 count) {
    return sqlite3_bind_blob64(statement, slot, bytes ? bytes : "", count, SQLITE_TRANSIENT);
}

// The main database file through the connection's own descriptor: closing another descriptor of the file would drop the locks that
// the whole process holds on it (POSIX). Both return an SQLite result code.
static inline int csqlite_main_length(sqlite3 *database, sqlite3_int64 *length) {
    sqlite3_file *file = 0;
    int result = sqlite3_file_control(database, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (result != SQLITE_OK) return result;
    if (!file || !file->pMethods) return SQLITE_MISUSE;
    return file->pMethods->xFileSize(file, length);
}
static inline int csqlite_main_read(sqlite3 *database, void *bytes, int count, sqlite3_int64 offset) {
    sqlite3_file *file = 0;
    int result = sqlite3_file_control(database, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (result != SQLITE_OK) return result;
    if (!file || !file->pMethods) return SQLITE_MISUSE;
    return file->pMethods->xRead(file, bytes, count, offset);
}
