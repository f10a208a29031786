function build()
%BUILD  Compile rtelasto_mex in this folder, in MATLAB or in Octave.
%   Needs a C compiler and libzmq with its header (Debian: libzmq3-dev; Windows: vcpkg install zeromq).
%   Where they are not in a standard place, set ZMQ_DIR to the folder that holds include/ and lib/.
folder = fileparts(mfilename('fullpath'));
source = fullfile(folder, 'rtelasto_mex.c');
places = {};
if ~isempty(getenv('ZMQ_DIR'))
    places = {['-I' fullfile(getenv('ZMQ_DIR'), 'include')], ['-L' fullfile(getenv('ZMQ_DIR'), 'lib')]};
end
clear rtelasto_mex  % a loaded one cannot be replaced
if exist('OCTAVE_VERSION', 'builtin')
    target = fullfile(folder, 'rtelasto_mex.mex');
    [output, status] = mkoctfile('--mex', '-Wall', '-Wextra', '-O2', places{:}, '-o', target, source, '-lzmq');
    if status ~= 0
        error('rtelasto:build', 'mkoctfile failed: %s', output);
    end
else
    mex('-R2017b', '-O', places{:}, '-outdir', folder, source, '-lzmq');
end
end
