/* An allocator that refuses: this program's malloc takes the place of the C library's, for the
 * library under test too. */
#ifndef VIRSNAP_TEST_REFUSAL_H
#define VIRSNAP_TEST_REFUSAL_H

#include <stdbool.h>
#include <stddef.h>

/* From now on the allocation of that number is refused, counted from 1, or it and all after it. */
void refuse(size_t number, bool from_then_on);

/* Only allocations of so many bytes count, and are refused. 0 until said. */
void refuse_large_only(size_t least);

/* Ends that, and answers whether any was refused. */
bool refuse_no_more(void);

#endif
