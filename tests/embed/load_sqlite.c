/* load_sqlite.c - a small SQLite shell for the extension of examples/embed:
 * runs each line of standard input, prints the rows. SPDX-License-Identifier:
 * MIT */
#include <sqlite3.h>
#include <stdio.h>

static int print_row(void *arg, int count, char **values, char **names) {
  int i;
  (void)arg, (void)names;
  for (i = 0; i < count; i++)
    printf("%s%s", i ? "|" : "", values[i] ? values[i] : "NULL");
  printf("\n");
  return 0;
}

int main(int argc, char **argv) {
  char line[4096], *message = NULL;
  sqlite3 *db;
  if (argc != 2 || sqlite3_open(":memory:", &db) != SQLITE_OK) return 2;
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL);
  if (sqlite3_load_extension(db, argv[1], NULL, &message) != SQLITE_OK) {
    fprintf(stderr, "load_sqlite: %s\n", message);
    return 1;
  }
  while (fgets(line, sizeof(line), stdin))
    if (sqlite3_exec(db, line, print_row, NULL, &message) != SQLITE_OK) {
      printf("error: %s\n", message);
      sqlite3_free(message);
    }
  return sqlite3_close(db) != SQLITE_OK;
}
