/* driver.c - runs a fuzzer on the files it is given, for compilers without
 * libFuzzer. SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static int run_file(const char *path) {
  FILE *f = fopen(path, "rb");
  if (!f) {
    perror(path);
    return 1;
  }
  unsigned char *data = NULL;
  size_t size = 0, got;
  do {
    data = realloc(data, size + 65536);
    got = fread(data + size, 1, 65536, f);
    size += got;
  } while (got > 0);
  fclose(f);
  LLVMFuzzerTestOneInput(data, size);
  free(data);
  return 0;
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++)
    if (run_file(argv[i]) != 0) return 1;
  printf("%d files\n", argc - 1);
  return 0;
}
