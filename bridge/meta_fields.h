/* Reading the fields of a struct from MATLAB, each checked for class, size and value.
 *
 * What is wrong ends the call with an error that names the field; nothing is allocated before that.
 */
#ifndef RTELASTO_META_FIELDS_H
#define RTELASTO_META_FIELDS_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "mex.h"
#include "wire_header.h"

#define LARGEST_EXACT 9007199254740992.0 /* 2^53: whole numbers beyond do not fit a double */

static void bad_meta(const char *name, const char *must)
{
    mexErrMsgIdAndTxt("rtelasto:send:meta", "meta.%s must be %s", name, must);
}

static const mxArray *field(const mxArray *meta, const char *name)
{
    const mxArray *value = meta ? mxGetField(meta, 0, name) : NULL;
    return value && !mxIsEmpty(value) ? value : NULL;
}

static int is_real_numeric(const mxArray *value)
{
    return value && mxIsNumeric(value) && !mxIsComplex(value) && !mxIsSparse(value);
}

/* A quantity within bounds. */
static double quantity(const mxArray *meta, const char *name, double low, double high)
{
    const mxArray *value = field(meta, name);
    double number;
    char must[96];
    snprintf(must, sizeof must, "one number from %g to %g", low, high);
    if (!is_real_numeric(value) || mxGetNumberOfElements(value) != 1)
        bad_meta(name, must);
    number = mxGetScalar(value);
    if (!(number >= low && number <= high)) /* NaN too */
        bad_meta(name, must);
    return number;
}

/* A whole number, exact also as int64 or uint64; `otherwise` where the field is missing. */
static int64_t whole(const mxArray *meta, const char *name, int64_t lowest, int64_t otherwise)
{
    const mxArray *value = field(meta, name);
    int64_t number = 0;
    double real;
    const char *must = lowest < 0 ? "one whole number" : "one whole number from 0 up";
    if (!value)
        return otherwise;
    if (!is_real_numeric(value) || mxGetNumberOfElements(value) != 1)
        bad_meta(name, must);
    if (mxIsInt64(value)) {
        number = *(const int64_t *)mxGetData(value);
    } else if (mxIsUint64(value)) {
        if (*(const uint64_t *)mxGetData(value) > INT64_MAX)
            bad_meta(name, must);
        number = (int64_t) * (const uint64_t *)mxGetData(value);
    } else {
        real = mxGetScalar(value);
        if (!(fabs(real) <= LARGEST_EXACT) || real != floor(real))
            bad_meta(name, must);
        number = (int64_t)real;
    }
    if (number < lowest)
        bad_meta(name, must);
    return number;
}

/* ASCII text of 1 to RT_MAX_NAME characters; `otherwise` where the field is missing. */
static const char *text(const mxArray *meta, const char *name, char *room, const char *otherwise)
{
    const mxArray *value = field(meta, name);
    const char *at;
    if (!value)
        return otherwise;
    if (!mxIsChar(value) || mxGetM(value) != 1 || mxGetNumberOfElements(value) > RT_MAX_NAME
        || mxGetString(value, room, RT_MAX_NAME + 1) != 0)
        bad_meta(name, "1 to 64 characters");
    for (at = room; *at; ++at)
        if ((unsigned char)*at < 32 || (unsigned char)*at > 126)
            bad_meta(name, "ASCII characters");
    return room;
}

static const char *one_of(const char *value, const char *name, const char *a, const char *b)
{
    char must[64];
    snprintf(must, sizeof must, "'%s' or '%s'", a, b);
    if (strcmp(value, a) != 0 && strcmp(value, b) != 0)
        bad_meta(name, must);
    return value;
}

/* A vector of doubles of this length; NULL where it is missing and may be. */
static const double *reals(const mxArray *meta, const char *name, size_t length, double low,
                           double high, int whole_numbers, int required)
{
    const mxArray *value = field(meta, name);
    const double *numbers;
    char must[96];
    size_t i;
    if (!value && !required)
        return NULL;
    snprintf(must, sizeof must, "%lu doubles%s from %g to %g", (unsigned long)length,
             whole_numbers ? " (whole numbers)" : "", low, high);
    if (!is_real_numeric(value) || !mxIsDouble(value) || mxGetNumberOfElements(value) != length)
        bad_meta(name, must);
    numbers = mxGetPr(value);
    for (i = 0; i < length; ++i)
        if (!(numbers[i] >= low && numbers[i] <= high)
            || (whole_numbers && numbers[i] != floor(numbers[i])))
            bad_meta(name, must);
    return numbers;
}

#endif
