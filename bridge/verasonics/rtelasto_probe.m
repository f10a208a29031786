function Trans = rtelasto_probe(name, sound_speed)
%RTELASTO_PROBE  What rtelasto reads of Trans, for an L12-5 without Verasonics' computeTrans.
%   Trans = rtelasto_probe('L12-5 38mm') or ('L12-5 50mm'), at 7.8125 MHz; sound_speed in m/s (1540)
%   turns millimetres into wavelengths.
%   For simulate mode and tests; beside a scanner use computeTrans. Element counts, pitches and the
%   multiplexer's table of contiguous apertures of 128 elements are those of the probes; the lens
%   correction is set to zero.
if nargin < 2
    sound_speed = 1540;
end
switch name
    case 'L12-5 38mm'
        n = 192;
        Trans.spacingMm = 0.1979;
    case 'L12-5 50mm'
        n = 256;
        Trans.spacingMm = 0.1953;
    otherwise
        error('rtelasto:probe', 'name must be ''L12-5 38mm'' or ''L12-5 50mm'', got ''%s''', name);
end
Trans.name = name;
Trans.units = 'wavelengths';
Trans.frequency = 7.8125;
Trans.numelements = n;
wavelength_mm = 1e-3 * sound_speed / Trans.frequency;
Trans.spacing = Trans.spacingMm / wavelength_mm;
Trans.ElementPos = zeros(n, 5);
Trans.ElementPos(:, 1) = Trans.spacing * ((0:n - 1)' - (n - 1) / 2);
Trans.lensCorrection = 0;
Trans.ConnectorES = mod((0:n - 1)', 128) + 1;
% Aperture i connects elements i to i + 127; which channel an element is on depends on it alone.
Trans.HVMux.ApertureES = zeros(n, n - 127);
for i = 1:n - 127
    Trans.HVMux.ApertureES(i:i + 127, i) = Trans.ConnectorES(i:i + 127);
end
end
